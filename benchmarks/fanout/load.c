/* The load client: many WebSocket connections in one process, which read, verify and time what they get.
 *
 * It opens `--connections` (paced by `--rate`), subscribes each to `--each` of the channels at random and prints
 * {"event":"ready",...} once every reply is in. From then on it *spins* (unless `--idle`): a reader that sleeps must be
 * woken, and the wake-up is charged to the server's send, which hides what is to be measured.
 *
 * Commands on standard input: `mark` prints the totals so far, with the latencies since the mark before;
 * `finish N` does so once N publications have arrived, or none for 3 s; `stop`, or the end of input, ends it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "channels.h"
#include "delta.h"
#include "tally.h"

enum stage { UNOPENED, CONNECTING, UPGRADING, SUBSCRIBING, LIVE, GONE };
enum { STDIN = UINT32_MAX, EVENTS = 1024, BUFFER = 1 << 18, PORTS_PER_SOURCE = 16000 };

struct connection {
    int fd;
    enum stage stage;
    uint64_t opened_ns;
    struct inbox inbox;
    struct holdings holdings;
};

static struct {
    unsigned port, connections, each, per_template, in_flight, source;
    double rate;
    bool idle, deflate, delta;
    uint64_t seed;
    size_t payload_size;
    const char *templates;
} want = {.port = 3002, .connections = 100, .each = 1, .per_template = 1, .in_flight = 256, .source = 2,
          .seed = 1, .payload_size = 500, .templates = "token.bench.comment"};

static struct channels channels;
static struct connection *connections;
static char **tokens; /* one for each connection, in turn */
static unsigned token_count;
static struct tally tally;
static struct histogram handshakes;
static struct { uint64_t opened, live, failed, gone, refused, gaps, feeds, errors, closes, deflated, deltas, keyframes, wire_bytes; } seen;
static struct { uint64_t turns, empty_turns, busy_ns; } effort;
static int epoll;
static uint64_t finish_at, last_delivery_ns, begun_ns, ready_ns;
static bool finishing, stopping;

/* Of those that are still there: after some went away, what the others should have had is known, the sum is not. */
static uint64_t live_deliveries(void) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < want.connections; i++)
        if (connections[i].stage == LIVE) sum += tally.received[i];
    return sum;
}

static void print_totals(const char *event) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"event\":\"%s\",\"at_ns\":%llu,\"live\":%llu,\"failed\":%llu,\"gone\":%llu,\"refused\":%llu,", event,
           (unsigned long long)now_ns(), (unsigned long long)seen.live, (unsigned long long)seen.failed,
           (unsigned long long)seen.gone, (unsigned long long)seen.refused);
    printf("\"deliveries\":%llu,\"bytes\":%llu,\"lost\":%llu,\"duplicates\":%llu,\"reordered\":%llu,\"unasked\":%llu,"
           "\"damaged\":%llu,\"gaps\":%llu,\"feeds\":%llu,\"errors\":%llu,\"closes\":%llu,",
           (unsigned long long)tally.deliveries, (unsigned long long)tally.bytes, (unsigned long long)tally.lost,
           (unsigned long long)tally.duplicates, (unsigned long long)tally.reordered,
           (unsigned long long)tally.unasked, (unsigned long long)tally.damaged, (unsigned long long)seen.gaps,
           (unsigned long long)seen.feeds, (unsigned long long)seen.errors, (unsigned long long)seen.closes);
    printf("\"latest\":%llu,", (unsigned long long)tally_latest(&tally, (size_t)want.connections * want.each));
    printf("\"live_deliveries\":%llu,\"deflated\":%llu,\"deltas\":%llu,\"keyframes\":%llu,\"wire_bytes\":%llu,",
           (unsigned long long)live_deliveries(), (unsigned long long)seen.deflated, (unsigned long long)seen.deltas,
           (unsigned long long)seen.keyframes, (unsigned long long)seen.wire_bytes);
    printf("\"turns\":%llu,\"empty_turns\":%llu,\"busy_s\":%.6f,\"cpu_s\":%.6f,\"connect_s\":%.6f,",
           (unsigned long long)effort.turns, (unsigned long long)effort.empty_turns, (double)effort.busy_ns / 1e9,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
           (double)(ready_ns - begun_ns) / 1e9);
    printf("\"handshake_us\":");
    histogram_print(&handshakes);
    printf(",\"latency_us\":");
    histogram_print(&tally.latency);
    printf("}\n");
    fflush(stdout);
    memset(&tally.latency, 0, sizeof tally.latency);
}

/* splitmix64: the same seed gives the same subscriptions on every machine. */
static uint64_t draw(void) {
    uint64_t z = want.seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* The beginning of a Fisher-Yates shuffle: each connection's channels are distinct. */
static void choose_channels(void) {
    uint16_t *deck = must(malloc(channels.count * sizeof *deck));
    for (unsigned i = 0; i < channels.count; i++) deck[i] = (uint16_t)i;
    for (unsigned i = 0; i < want.connections; i++)
        for (unsigned k = 0; k < want.each; k++) {
            unsigned other = k + (unsigned)(draw() % (channels.count - k));
            uint16_t card = deck[other];
            deck[other] = deck[k];
            deck[k] = tally.channels[(size_t)i * want.each + k] = card;
        }
    free(deck);
}

static unsigned resolved(void) { return (unsigned)(seen.live + seen.failed); }

static void resolve(struct connection *connection, bool success) {
    seen.live += success;
    seen.failed += !success;
    if (success) histogram_add(&handshakes, now_ns() - connection->opened_ns);
    if (resolved() < want.connections) return;
    ready_ns = now_ns();
    print_totals("ready");
}

static void drop(struct connection *connection) {
    close(connection->fd);
    free(connection->inbox.rest);
    free(connection->holdings.held);
    connection->inbox = (struct inbox){0};
    connection->holdings = (struct holdings){0};
    if (connection->stage == LIVE) seen.gone++, seen.live--, seen.failed++;
    else resolve(connection, false);
    connection->stage = GONE;
}

static void open_next(void) {
    unsigned index = (unsigned)seen.opened++;
    struct connection *connection = &connections[index];
    struct sockaddr_in here = loopback(want.source + index / PORTS_PER_SOURCE, 0), there = loopback(1, want.port);
    struct epoll_event interest = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = index};
    connection->opened_ns = now_ns();
    connection->stage = CONNECTING;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) die("socket");
    setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
    if (bind(connection->fd, (struct sockaddr *)&here, sizeof here)) die("bind");
    if (connect(connection->fd, (struct sockaddr *)&there, sizeof there) && errno != EINPROGRESS) {
        drop(connection);
        return;
    }
    no_delay(connection->fd);
    epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &interest);
}

/* As many as pace and handshakes in flight allow: past the server's backlog the kernel drops SYNs for a second. */
static void open_due(void) {
    uint64_t due = want.connections;
    if (want.rate > 0) {
        due = 1 + (uint64_t)((double)(now_ns() - begun_ns) / 1e9 * want.rate);
        if (due > want.connections) due = want.connections;
    }
    while (seen.opened < due && seen.opened - resolved() < want.in_flight) open_next();
}

static void send_upgrade(struct connection *connection) {
    struct epoll_event readable = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET,
                                   .data.u32 = (uint32_t)(connection - connections)};
    static char request[8192];
    const char *token = token_count ? tokens[(unsigned)(connection - connections) % token_count] : NULL;
    int length = sprintf(request,
                         "GET /ws%s%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s%s\r\n",
                         token ? "?auth=" : "", token ? token : "", want.port, want.deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "",
                         want.delta ? "Sec-WebSocket-Protocol: wsgate.delta.v1\r\n" : "");
    epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &readable);
    connection->stage = UPGRADING;
    if (send_all(connection->fd, request, (size_t)length) < 0) drop(connection);
}

static void send_subscribe(struct connection *connection) {
    static char command[1 << 16], out[sizeof command + 14];
    uint16_t *mine = tally.channels + (size_t)(connection - connections) * want.each;
    int length = sprintf(command, "{\"type\":\"subscribe\",\"channels\":[");
    for (unsigned k = 0; k < want.each; k++)
        length += sprintf(command + length, "%s\"%s\"", k ? "," : "", channels.names[mine[k]]);
    length += sprintf(command + length, "]}");
    connection->stage = SUBSCRIBING;
    if (send_all(connection->fd, out, frame_masked(out, OP_TEXT, command, (size_t)length)) < 0) drop(connection);
}

/* Returns the bytes of the response, 0 while it is not whole. The accept value is RFC 6455's own example. */
static size_t take_upgrade(struct connection *connection, char *bytes, size_t available) {
    char *end = memmem(bytes, available, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t length = (size_t)(end + 4 - bytes);
    bool agreed = memmem(bytes, length, "\r\nSec-WebSocket-Extensions: permessage-deflate", 46);
    bool speaks = memmem(bytes, length, "\r\nSec-WebSocket-Protocol: wsgate.delta.v1\r\n", 43);
    if (speaks != want.delta || memcmp(bytes, "HTTP/1.1 101", 12) || !memmem(bytes, length, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28) ||
        agreed != want.deflate) {
        drop(connection);
        return 0;
    }
    send_subscribe(connection);
    return length;
}

static void take_text(struct connection *connection, const char *text, size_t length, uint64_t now) {
    static const char opening[] = "{\"type\":\"";
    const char *type = text + sizeof opening - 1;
    size_t rest = length - (sizeof opening - 1);
    if (length < 16 || memcmp(text, opening, sizeof opening - 1)) tally.damaged++;
    else if (!memcmp(type, "subsc", 5)) {
        if (memmem(type, rest, "\"errors\"", 8)) seen.refused++;
        if (connection->stage == SUBSCRIBING) {
            connection->stage = LIVE;
            resolve(connection, true);
        }
    } else if (!memcmp(type, "gap\"", 4)) seen.gaps++;
    else if (!memcmp(type, "feed\"", 5)) seen.feeds++;
    else if (!memcmp(type, "error", 5)) seen.errors++;
    else tally_publication(&tally, (unsigned)(connection - connections), text, length, want.payload_size, now);
}

static void take_binary(struct connection *connection, const char *message, size_t length, uint64_t now) {
    size_t text_length = 0;
    bool brings;
    const char *text = delta_decode(&connection->holdings, want.each, message, length, &text_length, &brings);
    if (text) {
        seen.deltas++;
        take_text(connection, text, text_length, now);
    } else if (brings) seen.keyframes++;
    else tally.damaged++;
}

static void take_frame(struct connection *connection, struct frame *frame, uint64_t now) {
    char pong[140];
    size_t length;
    const char *text;
    seen.wire_bytes += frame->length + (frame->length < 126 ? 2 : 4);
    if (want.deflate && frame->deflated && !frame->masked && frame->opcode == OP_TEXT) {
        seen.deflated++;
        text = message_inflate(frame->payload, frame->length, &length);
        if (text) take_text(connection, text, length, now);
        else tally.damaged++;
    } else if (!frame->plain || frame->masked) tally.damaged++;
    else if (frame->opcode == OP_TEXT) take_text(connection, frame->payload, frame->length, now);
    else if (frame->opcode == OP_BINARY && want.delta) take_binary(connection, frame->payload, frame->length, now);
    else if (frame->opcode == OP_CLOSE) seen.closes++;
    else if (frame->opcode == OP_PING && frame->length < 126)
        send_all(connection->fd, pong, frame_masked(pong, OP_PONG, frame->payload, frame->length));
    else if (frame->opcode != OP_PONG) tally.damaged++;
}

/* Edge-triggered: a short read means that there is no more, which saves asking, unless the end has been announced. */
static void read_connection(struct connection *connection, bool ending) {
    static char buffer[BUFFER];
    for (bool drained = false, ended = false; !drained || ending;) {
        size_t have = inbox_read(&connection->inbox, connection->fd, buffer, BUFFER, &drained, &ended), done = 0, step;
        uint64_t now = now_ns(), before = tally.deliveries;
        if (connection->stage == UPGRADING) done = take_upgrade(connection, buffer, have);
        struct frame frame;
        while (connection->stage >= SUBSCRIBING && connection->stage != GONE &&
               (step = frame_parse(buffer + done, have - done, &frame))) {
            take_frame(connection, &frame, now);
            done += step;
        }
        if (tally.deliveries != before) last_delivery_ns = now;
        if (connection->stage == GONE) return;
        inbox_keep(&connection->inbox, buffer + done, have - done);
        if (ended) {
            drop(connection);
            return;
        }
    }
}

static void on_connection(uint32_t index, uint32_t events) {
    struct connection *connection = &connections[index];
    if (connection->stage == GONE) return;
    if (connection->stage == CONNECTING && events & EPOLLOUT && !(events & EPOLLERR)) send_upgrade(connection);
    else if (connection->stage == CONNECTING) drop(connection);
    else read_connection(connection, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

static void on_command(void) {
    static char text[256];
    static size_t used;
    ssize_t got = read(0, text + used, sizeof text - 1 - used);
    if (got <= 0) stopping = true;
    if (got <= 0) return;
    used += (size_t)got;
    text[used] = 0;
    for (char *end; (end = strchr(text, '\n'));) {
        *end = 0;
        if (!strcmp(text, "mark")) print_totals("mark");
        if (!strcmp(text, "stop")) stopping = true;
        if (sscanf(text, "finish %lu", &finish_at) == 1) finishing = true, last_delivery_ns = now_ns();
        used -= (size_t)(end + 1 - text);
        memmove(text, end + 1, used + 1);
    }
}

static void read_tokens(const char *path) {
    static char line[4096];
    FILE *file = fopen(path, "r");
    if (!file) die(path);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        tokens = must(realloc(tokens, (token_count + 1) * sizeof *tokens));
        tokens[token_count++] = must(strdup(line));
    }
    fclose(file);
}

static void options(int argc, char **argv) {
    static const struct option table[] = {
        {"port", 1, 0, 'p'},   {"connections", 1, 0, 'n'}, {"channels", 1, 0, 'c'}, {"per-template", 1, 0, 't'},
        {"each", 1, 0, 'k'},   {"seed", 1, 0, 's'},        {"rate", 1, 0, 'r'},     {"in-flight", 1, 0, 'f'},
        {"source", 1, 0, 'b'}, {"size", 1, 0, 'z'},        {"idle", 0, 0, 'i'},     {"deflate", 0, 0, 'd'},
        {"tokens", 1, 0, 'j'}, {"delta", 0, 0, 'D'}, {0},
    };
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) switch (option) {
        case 'p': want.port = (unsigned)atoi(optarg); break;
        case 'n': want.connections = (unsigned)atoi(optarg); break;
        case 'c': want.templates = optarg; break;
        case 't': want.per_template = (unsigned)atoi(optarg); break;
        case 'k': want.each = (unsigned)atoi(optarg); break;
        case 's': want.seed = (uint64_t)atoll(optarg); break;
        case 'r': want.rate = atof(optarg); break;
        case 'f': want.in_flight = (unsigned)atoi(optarg); break;
        case 'b': want.source = (unsigned)atoi(optarg); break;
        case 'z': want.payload_size = (size_t)atoi(optarg); break;
        case 'i': want.idle = true; break;
        case 'd': want.deflate = true; break;
        case 'D': want.delta = true; break;
        case 'j': read_tokens(optarg); break;
        default: exit(2);
        }
    if ((want.deflate || want.delta) && !can_inflate()) {
        fprintf(stderr, "--deflate, --delta: this program was compiled without zlib; install its header, zlib.h, and build again\n");
        exit(2);
    }
    channels = channels_expand(want.templates, want.per_template);
    if (!want.connections || !want.each || want.each > channels.count || channels.count > UINT16_MAX || want.each > 200) {
        fprintf(stderr, "--each must be 1 to 200 and no more than there are channels (%u)\n", channels.count);
        exit(2);
    }
}

int main(int argc, char **argv) {
    options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    connections = must(calloc(want.connections, sizeof *connections));
    tally.each = want.each;
    tally.channels = must(calloc((size_t)want.connections * want.each, sizeof *tally.channels));
    tally.next = must(calloc((size_t)want.connections * want.each, sizeof *tally.next));
    tally.received = must(calloc(want.connections, sizeof *tally.received));
    choose_channels();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS], input = {.events = EPOLLIN, .data.u32 = STDIN};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &input)) die("standard input must be a pipe");
    begun_ns = now_ns();
    while (!stopping) {
        if (seen.opened < want.connections) open_due();
        bool asleep = want.idle && seen.opened == want.connections;
        int ready = epoll_wait(epoll, events, EVENTS, asleep ? 100 : 0);
        uint64_t woken = now_ns();
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u32 == STDIN) on_command();
            else on_connection(events[i].data.u32, events[i].events);
        }
        effort.turns++;
        if (ready > 0) effort.busy_ns += now_ns() - woken;
        else {
            effort.empty_turns++;
            if (!asleep) sched_yield(); /* to publisher and NATS server, which share this core */
        }
        if (finishing && (tally.deliveries >= finish_at || woken > last_delivery_ns + 3000000000u)) {
            finishing = false;
            print_totals("finish");
        }
    }
    return 0;
}
