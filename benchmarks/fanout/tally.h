/* What the load client counts: order and completeness for each connection and channel, and latency. */
#ifndef WSGATE_BENCH_TALLY_H
#define WSGATE_BENCH_TALLY_H

#include "wire.h"

/* Latency in microseconds: exact below 64, then 64 buckets for each doubling (1.6 % wide). */
enum { SUB_BITS = 6, SUBS = 1 << SUB_BITS, BUCKETS = SUBS * 32 };

struct histogram {
    uint64_t buckets[BUCKETS];
};

static inline void histogram_add(struct histogram *histogram, uint64_t ns) {
    uint64_t us = ns / 1000;
    unsigned bucket = (unsigned)us;
    if (us >= SUBS) {
        unsigned shift = 63 - (unsigned)__builtin_clzll(us) - SUB_BITS;
        bucket = (shift + 1) * SUBS + (unsigned)(us >> shift & (SUBS - 1));
    }
    histogram->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

/* [[least microseconds of the bucket, how many], ...]: mergeable over several clients, quantiles are the reader's. */
static inline void histogram_print(const struct histogram *histogram) {
    const char *comma = "";
    putchar('[');
    for (unsigned i = 0; i < BUCKETS; i++) {
        if (!histogram->buckets[i]) continue;
        uint64_t us = i < SUBS ? i : (uint64_t)(SUBS + i % SUBS) << (i / SUBS - 1);
        printf("%s[%llu,%llu]", comma, (unsigned long long)us, (unsigned long long)histogram->buckets[i]);
        comma = ",";
    }
    putchar(']');
}

struct tally {
    unsigned each;      /* channels a connection subscribes to */
    uint16_t *channels; /* [connection][each] */
    uint32_t *next;     /* [connection][each]: the counter that must come next; 0: none came yet */
    uint64_t *received; /* [connection]: its deliveries */
    uint64_t deliveries, bytes;
    uint64_t lost, duplicates, reordered; /* jumps ahead (by how many), the last one again, older ones */
    uint64_t unasked, damaged;            /* not subscribed to; not the frame or payload that was sent */
    struct histogram latency;
};

static inline void tally_count(struct tally *tally, unsigned connection, unsigned channel, uint32_t counter) {
    size_t from = (size_t)connection * tally->each, to = from + tally->each;
    while (from < to && tally->channels[from] != channel) from++;
    if (from == to) {
        tally->unasked++;
        return;
    }
    uint32_t next = tally->next[from];
    if (next && counter < next) {
        *(counter + 1 == next ? &tally->duplicates : &tally->reordered) += 1;
        return;
    }
    if (next) tally->lost += counter - next;
    tally->next[from] = counter + 1;
}

/* The counters that connections stand at, all together: once nothing is on its way, how much each lacks of the latest. */
static inline uint64_t tally_latest(const struct tally *tally, size_t subscriptions) {
    uint64_t sum = 0;
    for (size_t i = 0; i < subscriptions; i++)
        if (tally->next[i]) sum += tally->next[i] - 1;
    return sum;
}

static inline const char *decimal(const char *at, const char *label, uint64_t *value) {
    size_t length = strlen(label);
    if (memcmp(at, label, length)) return NULL;
    at += length;
    for (*value = 0; *at >= '0' && *at <= '9'; at++) *value = *value * 10 + (uint64_t)(*at - '0');
    return at;
}

/* A publication: {"type":..,"channel":..,"seq":..,"prev":..,"data":<the publisher's bytes, all of them>}.
   A frame of a smaller size than a payload cannot be one, so reading labels stays inside the frame. */
static inline void tally_publication(struct tally *tally, unsigned connection, const char *text, size_t length,
                                     size_t payload_size, uint64_t now) {
    static const char marker[] = "\"data\":";
    size_t look = length < 512 ? length : 512;
    const char *data = length > payload_size ? memmem(text, look, marker, sizeof marker - 1) : NULL;
    uint64_t channel, counter, sent;
    if (data) data += sizeof marker - 1;
    if (!data || (size_t)(text + length - data) != payload_size + 1 || text[length - 1] != '}' ||
        text[length - 2] != '}' || !(data = decimal(data, "{\"c\":", &channel)) ||
        !(data = decimal(data, ",\"n\":", &counter)) || !(data = decimal(data, ",\"t\":", &sent))) {
        tally->damaged++;
        return;
    }
    tally->deliveries++;
    tally->received[connection]++;
    tally->bytes += length;
    tally_count(tally, connection, (unsigned)channel, (uint32_t)counter);
    histogram_add(&tally->latency, now - sent);
}

#endif
