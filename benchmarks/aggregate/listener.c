/* Reads raw publications and what an aggregator makes of them from one NATS server, and holds the two against each
 * other: order, completeness, and how much later than the raw one a publication came.
 *
 * The server routes a raw publication to this program before the aggregator has it, so `added` is what aggregating
 * adds. `beyond` leaves out what a window asks for: it counts from when the raw one came, or from a window after the
 * channel came last, whichever is later.
 *
 * Commands on standard input: each line has the totals printed, and the latencies since the last one; at its end the
 * program ends. A subject that ends with "comment" is one of events.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <stddef.h>

#include "../fanout/nats.h"
#include "../fanout/tally.h"

enum { REMEMBERED = 4096, SLOTS = 1 << 14 }; /* of a channel, by how much an aggregator may be behind; of all */

struct channel {
    char *name; /* without the raw prefix */
    bool event;
    uint64_t raw_at[REMEMBERED]; /* when each came, by its counter */
    uint64_t last_raw, last_out, last_out_at;
};

static struct nats nats;
static struct channel *slots[SLOTS];
static const char raw_prefix[] = "raw.";
static uint64_t window_ns = 100000000, raw_count, out_count, event_count, reordered, lost, damaged;
static struct histogram direct, added, beyond;

static struct channel *find(const char *name, size_t length) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)name[i]) * 1099511628211u;
    size_t slot = hash % SLOTS;
    while (slots[slot] && (strncmp(slots[slot]->name, name, length) || slots[slot]->name[length]))
        slot = (slot + 1) % SLOTS;
    if (!slots[slot]) {
        struct channel *made = slots[slot] = must(calloc(1, sizeof *made));
        made->name = must(strndup(name, length));
        made->event = length > 7 && !memcmp(name + length - 7, "comment", 7);
    }
    return slots[slot];
}

static void take_raw(struct channel *channel, uint64_t counter, uint64_t sent, uint64_t now) {
    raw_count++;
    channel->last_raw = counter;
    channel->raw_at[counter % REMEMBERED] = now;
    histogram_add(&direct, now - sent);
}

static void take_out(struct channel *channel, uint64_t counter, uint64_t now) {
    out_count++;
    if (counter <= channel->last_out || counter > channel->last_raw) {
        reordered++;
        return;
    }
    uint64_t came = channel->raw_at[counter % REMEMBERED], due = came;
    if (channel->event) {
        event_count++;
        lost += counter - channel->last_out - 1;
    } else if (channel->last_out && channel->last_out_at + window_ns > due) {
        due = channel->last_out_at + window_ns;
    }
    histogram_add(&added, now - came);
    histogram_add(&beyond, now > due ? now - due : 0);
    channel->last_out = counter;
    channel->last_out_at = now;
}

static void take(const char *subject, size_t subject_length, const char *payload, size_t length) {
    uint64_t index, counter, sent, now = now_ns();
    size_t prefix = sizeof raw_prefix - 1;
    bool raw = subject_length > prefix && !memcmp(subject, raw_prefix, prefix);
    const char *at = payload;
    if (length < 96 || !(at = decimal(at, "{\"c\":", &index)) || !(at = decimal(at, ",\"n\":", &counter)) ||
        !decimal(at, ",\"t\":", &sent) || memcmp(payload + length - 2, "\"}", 2)) {
        damaged++;
        return;
    }
    if (raw)
        take_raw(find(subject + prefix, subject_length - prefix), counter, sent, now);
    else
        take_out(find(subject, subject_length), counter, now);
}

static void print_totals(void) {
    uint64_t behind = 0;
    for (size_t i = 0; i < SLOTS; i++) behind += slots[i] && slots[i]->last_out != slots[i]->last_raw;
    printf("{\"event\":\"mark\",\"raw\":%llu,\"out\":%llu,\"events\":%llu,\"behind\":%llu,\"reordered\":%llu,"
           "\"lost\":%llu,\"damaged\":%llu,\"direct_us\":",
           (unsigned long long)raw_count, (unsigned long long)out_count, (unsigned long long)event_count,
           (unsigned long long)behind, (unsigned long long)reordered, (unsigned long long)lost,
           (unsigned long long)damaged);
    histogram_print(&direct);
    printf(",\"added_us\":");
    histogram_print(&added);
    printf(",\"beyond_us\":");
    histogram_print(&beyond);
    puts("}");
    fflush(stdout);
    memset(&direct, 0, sizeof direct);
    memset(&added, 0, sizeof added);
    memset(&beyond, 0, sizeof beyond);
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"port", 1, 0, 'p'}, {"window", 1, 0, 'w'}, {0}};
    unsigned port = 4222;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (option) {
        case 'p': port = (unsigned)atoi(optarg); break;
        case 'w': window_ns = (uint64_t)atoi(optarg) * 1000000u; break;
        default: return 2;
        }
    nats_open(&nats, port);
    nats_command(&nats, "SUB raw.token.> 1\r\nSUB token.> 2\r\n");
    nats_flush(&nats);
    puts("{\"event\":\"ready\"}");
    fflush(stdout);
    for (;;) {
        struct pollfd ready[] = {{.fd = nats.fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
        if (poll(ready, 2, -1) < 0 && errno != EINTR) die("poll");
        if (ready[0].revents) nats_read(&nats, take, false);
        if (ready[1].revents) {
            char command[256];
            if (read(0, command, sizeof command) <= 0) return 0;
            print_totals();
        }
    }
}
