/* The floor: the least a fan-out server can do. A bare epoll loop that takes publications from NATS and sends the same
 * bytes as the gateway does, in the order of accept: one `send` each, or, with `--window MS`, one `sendmsg` of all that
 * a connection is owed.
 *
 * It has no limits, no slow consumers and no wildcards; a peer that reads nothing stops it. The gateway's cost
 * divided by this one's is what its features cost.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "accept_key.h"
#include "nats.h"

/* A slot is the descriptor itself: the kernel gives out the lowest, so slot order is the order of accept. */
enum { SLOTS = 1 << 16, TABLE = 1 << 16, OWED = 64, EVENTS = 512, BUFFER = 1 << 18, FRAME_MAX = 1 << 17 };

struct publication {
    size_t length;
    char bytes[];
};

struct channel {
    char *name;
    const char *type;
    uint64_t seq;
    bool state, sorted;
    struct publication *last;
    uint32_t *subscribers, count, room;
};

struct connection {
    bool open, upgraded;
    struct inbox inbox;
    struct channel **channels;
    uint32_t count;
};

static struct nats nats;
static struct connection connections[SLOTS];
static struct channel *table[TABLE];
static uint64_t window_ns, flush_at, waits;
static struct { struct publication **list; uint32_t count, room; } held; /* this window's publications */
static uint32_t (*owed)[OWED];                                            /* [slot]: places in `held` */
static uint8_t *owed_count;
static uint32_t slot_end;
static int epoll;
static volatile sig_atomic_t stopping;

static struct channel *channel_find(const char *name, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    uint32_t at = hash % TABLE;
    for (; table[at]; at = (at + 1) % TABLE)
        if (!strncmp(table[at]->name, name, length) && !table[at]->name[length]) return table[at];
    struct channel *channel = table[at] = must(calloc(1, sizeof *channel));
    channel->name = must(strndup(name, length));
    bool update = length > 7 && !memcmp(name + length - 7, ".update", 7);
    bool comment = length > 8 && !memcmp(name + length - 8, ".comment", 8);
    channel->type = update ? "token_update" : comment ? "token_comment" : "global_update";
    channel->state = update || !strcmp(channel->name, "global.trending");
    return channel;
}

static struct publication *encode(struct channel *channel, const char *data, size_t data_length) {
    static char envelope[1024];
    channel->seq++;
    int head = snprintf(envelope, sizeof envelope, "{\"type\":\"%s\",\"channel\":\"%s\",\"seq\":%llu,\"prev\":%llu,\"data\":",
                        channel->type, channel->name, (unsigned long long)channel->seq,
                        (unsigned long long)channel->seq - 1);
    struct publication *publication = must(malloc(sizeof *publication + (size_t)head + data_length + 16));
    char *at = publication->bytes + frame_header(publication->bytes, OP_TEXT, (size_t)head + data_length + 1);
    at = mempcpy(mempcpy(at, envelope, (size_t)head), data, data_length);
    *at++ = '}';
    publication->length = (size_t)(at - publication->bytes);
    return publication;
}

static void count_waits(int result) { waits += result > 0 ? (uint64_t)result : 0; }

/* One sendmsg of all that is owed; what the socket does not take goes out piece by piece. */
static void pay(uint32_t slot) {
    struct iovec parts[OWED];
    unsigned count = owed_count[slot];
    for (unsigned i = 0; i < count; i++) {
        struct publication *publication = held.list[owed[slot][i]];
        parts[i] = (struct iovec){publication->bytes, publication->length};
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent = sendmsg((int)slot, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    owed_count[slot] = 0;
    if (sent < 0 && errno != EAGAIN) return;
    size_t skip = sent > 0 ? (size_t)sent : 0;
    for (unsigned i = 0; i < count; i++) {
        size_t done = skip < parts[i].iov_len ? skip : parts[i].iov_len;
        skip -= done;
        if (done < parts[i].iov_len)
            count_waits(send_all((int)slot, (char *)parts[i].iov_base + done, parts[i].iov_len - done));
    }
}

static void flush_window(void) {
    for (uint32_t slot = 0; slot < slot_end; slot++)
        if (owed_count[slot]) pay(slot);
    for (uint32_t i = 0; i < held.count; i++) free(held.list[i]);
    held.count = 0;
    flush_at = 0;
}

static void hold(struct channel *channel, struct publication *publication) {
    if (held.count == held.room) {
        held.room = held.room ? held.room * 2 : 256;
        held.list = must(realloc(held.list, held.room * sizeof *held.list));
    }
    uint32_t place = held.count++;
    held.list[place] = publication;
    for (uint32_t i = 0; i < channel->count; i++) {
        uint32_t slot = channel->subscribers[i];
        if (owed_count[slot] == OWED) pay(slot);
        owed[slot][owed_count[slot]++] = place;
    }
    /* On a grid: counted from the message, a window would grow by the time the flush before took. */
    if (!flush_at) flush_at = (now_ns() / window_ns + 1) * window_ns;
}

static int by_slot(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static void on_message(const char *subject, size_t subject_length, const char *data, size_t data_length) {
    struct channel *channel = channel_find(subject, subject_length);
    struct publication *publication = encode(channel, data, data_length);
    if (!channel->sorted) qsort(channel->subscribers, channel->count, sizeof(uint32_t), by_slot);
    channel->sorted = true;
    if (channel->state) {
        free(channel->last);
        channel->last = must(malloc(sizeof *publication + publication->length));
        memcpy(channel->last, publication, sizeof *publication + publication->length);
    }
    if (window_ns) {
        hold(channel, publication);
        return;
    }
    for (uint32_t i = 0; i < channel->count; i++)
        count_waits(send_all((int)channel->subscribers[i], publication->bytes, publication->length));
    free(publication);
}

static void subscribe(uint32_t slot, struct channel *channel) {
    if (channel->count == channel->room) {
        channel->room = channel->room ? channel->room * 2 : 16;
        channel->subscribers = must(realloc(channel->subscribers, channel->room * sizeof(uint32_t)));
    }
    channel->subscribers[channel->count++] = slot;
    channel->sorted = false;
    struct connection *connection = &connections[slot];
    connection->channels = must(realloc(connection->channels, (connection->count + 1) * sizeof(struct channel *)));
    connection->channels[connection->count++] = channel;
}

static void drop(uint32_t slot) {
    struct connection *connection = &connections[slot];
    for (uint32_t i = 0; i < connection->count; i++) {
        struct channel *channel = connection->channels[i];
        uint32_t at = 0;
        while (channel->subscribers[at] != slot) at++;
        channel->subscribers[at] = channel->subscribers[--channel->count];
        channel->sorted = false;
    }
    free(connection->channels);
    free(connection->inbox.rest);
    *connection = (struct connection){0};
    if (owed_count) owed_count[slot] = 0;
    close((int)slot);
}

/* The reply and the last values go out together, as one write. */
static void on_subscribe(uint32_t slot, char *text, size_t length) {
    static char out[FRAME_MAX], body[FRAME_MAX / 4];
    char *end = text + length, *at = memmem(text, length, "\"channels\":[", 12);
    struct channel *asked[256];
    unsigned count = 0;
    if (!at) return;
    for (at += 12; at < end && *at == '"' && count < 256; at += at + 1 < end && at[1] == ',' ? 2 : 1) {
        char *name = at + 1;
        at = memchr(name, '"', (size_t)(end - name));
        if (!at) return;
        subscribe(slot, asked[count++] = channel_find(name, (size_t)(at - name)));
    }
    size_t used = (size_t)sprintf(body, "{\"type\":\"subscribed\",\"channels\":{");
    for (unsigned i = 0; i < count; i++)
        used += (size_t)snprintf(body + used, sizeof body - used, "%s\"%s\":{\"epoch\":\"floor\",\"seq\":%llu}",
                                 i ? "," : "", asked[i]->name, (unsigned long long)asked[i]->seq);
    used += (size_t)sprintf(body + used, "}}");
    size_t total = frame_header(out, OP_TEXT, used);
    memcpy(out + total, body, used);
    total += used;
    for (unsigned i = 0; i < count; i++) {
        struct publication *last = asked[i]->last;
        if (!last || total + last->length > sizeof out) continue;
        memcpy(out + total, last->bytes, last->length);
        total += last->length;
    }
    count_waits(send_all((int)slot, out, total));
}

/* Returns the bytes of the request, 0 while it is not whole. */
static size_t on_upgrade(uint32_t slot, char *bytes, size_t available) {
    char response[256] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Accept: ";
    size_t used = strlen(response);
    char *end = memmem(bytes, available, "\r\n\r\n", 4);
    if (!end) return 0;
    end[2] = 0;
    char *key = strcasestr(bytes, "\r\nSec-WebSocket-Key:");
    if (!key) return 0;
    key += 20 + strspn(key + 20, " ");
    accept_key(key, response + used);
    memcpy(response + used + 28, "\r\n\r\n", 4);
    connections[slot].upgraded = true;
    count_waits(send_all((int)slot, response, used + 32));
    return (size_t)(end + 4 - bytes);
}

static void on_readable(uint32_t slot) {
    static char buffer[BUFFER];
    struct connection *connection = &connections[slot];
    bool drained, ended, closed = false;
    size_t have = inbox_read(&connection->inbox, (int)slot, buffer, BUFFER - 1, &drained, &ended), done = 0, step;
    buffer[have] = 0;
    if (!connection->upgraded) done = on_upgrade(slot, buffer, have);
    struct frame frame;
    while (connection->upgraded && (step = frame_parse(buffer + done, have - done, &frame))) {
        frame_unmask(&frame);
        if (frame.opcode == OP_TEXT) on_subscribe(slot, frame.payload, frame.length);
        closed = closed || frame.opcode == OP_CLOSE;
        done += step;
    }
    inbox_keep(&connection->inbox, buffer + done, have - done);
    if (ended || closed) drop(slot);
}

static void on_accept(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct epoll_event readable = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
        if (fd >= SLOTS) die("too many connections");
        connections[fd].open = true;
        no_delay(fd);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &readable);
        if ((uint32_t)fd >= slot_end) slot_end = (uint32_t)fd + 1;
    }
}

static int listen_on(unsigned port) {
    struct sockaddr_in address = loopback(1, port);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) die("listen");
    return listener;
}

static int until_flush_ms(void) {
    uint64_t now = now_ns();
    if (!flush_at) return -1;
    return flush_at <= now ? 0 : (int)((flush_at - now + 999999) / 1000000);
}

static void stop(int signal_number) { stopping = signal_number; }

int main(int argc, char **argv) {
    static const struct option table_of_options[] = {
        {"port", 1, 0, 'p'}, {"nats", 1, 0, 'n'}, {"window", 1, 0, 'w'}, {0}};
    unsigned port = 3002, nats_port = 4222;
    for (int option; (option = getopt_long(argc, argv, "", table_of_options, NULL)) != -1;) switch (option) {
        case 'p': port = (unsigned)atoi(optarg); break;
        case 'n': nats_port = (unsigned)atoi(optarg); break;
        case 'w': window_ns = (uint64_t)(atof(optarg) * 1e6); break;
        default: return 2;
        }
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL);
    if (window_ns) {
        owed = must(calloc(SLOTS, sizeof *owed));
        owed_count = must(calloc(SLOTS, 1));
    }
    nats_open(&nats, nats_port);
    nats_command(&nats, "SUB token.> 1\r\nSUB global.> 2\r\n");
    nats_flush(&nats);
    int listener = listen_on(port);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS];
    const int first[] = {listener, nats.fd};
    for (int i = 0; i < 2; i++)
        epoll_ctl(epoll, EPOLL_CTL_ADD, first[i], &(struct epoll_event){.events = EPOLLIN, .data.fd = first[i]});
    while (!stopping) {
        int ready = epoll_wait(epoll, events, EVENTS, until_flush_ms());
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) on_accept(listener);
            else if (fd == nats.fd) nats_read(&nats, on_message, false);
            else if (connections[fd].open) on_readable((uint32_t)fd);
        }
        if (flush_at && now_ns() >= flush_at) flush_window();
    }
    fprintf(stderr, "waited %llu times for room in a socket\n", (unsigned long long)waits);
    return 0;
}
