/* permessage-deflate for the load client: messages that many connections get are inflated once, and compared after that. */
#ifndef WSGATE_BENCH_INFLATE_H
#define WSGATE_BENCH_INFLATE_H

#include "wire.h"

#ifdef WITH_ZLIB
#include <zlib.h>

enum { INFLATED_MAX = 1 << 17, KNOWN = 4096, HASHED = 64 };

/* A compressed message, and what it is; a newer one with the same hash takes its place. */
struct known_message {
    char *compressed, *text;
    size_t compressed_length, length;
};

/* The end of a message tells it from others better than its beginning, which is the same for a channel. */
static inline unsigned message_hash(const char *bytes, size_t length) {
    unsigned hash = 2166136261u ^ (unsigned)length;
    for (size_t at = length > HASHED ? length - HASHED : 0; at < length; at++)
        hash = (hash ^ (unsigned char)bytes[at]) * 16777619u;
    for (size_t at = 0; at < length && at < HASHED; at++) hash = (hash ^ (unsigned char)bytes[at]) * 16777619u;
    return (hash ^ hash >> 16) % KNOWN;
}

/* Returns what the message is, NULL if it is nothing; good until the next call. */
static inline const char *message_inflate(const char *bytes, size_t length, size_t *inflated) {
    static struct known_message known[KNOWN];
    static char text[INFLATED_MAX];
    static const unsigned char tail[] = {0, 0, 0xff, 0xff};
    struct known_message *slot = &known[message_hash(bytes, length)];
    if (slot->compressed_length == length && slot->compressed && !memcmp(slot->compressed, bytes, length)) {
        *inflated = slot->length;
        return slot->text;
    }
    z_stream stream = {0};
    if (inflateInit2(&stream, -15) != Z_OK) die("inflate");
    stream.next_out = (unsigned char *)text;
    stream.avail_out = sizeof text;
    stream.next_in = (unsigned char *)bytes;
    stream.avail_in = (unsigned)length;
    int result = inflate(&stream, Z_SYNC_FLUSH);
    if (result == Z_OK || result == Z_BUF_ERROR) {
        stream.next_in = (unsigned char *)tail;
        stream.avail_in = sizeof tail;
        result = inflate(&stream, Z_SYNC_FLUSH);
    }
    size_t size = sizeof text - stream.avail_out;
    bool whole = result == Z_OK && !stream.avail_in;
    inflateEnd(&stream);
    if (!whole) return NULL;
    free(slot->compressed);
    free(slot->text);
    slot->compressed = must(malloc(length + 1));
    slot->text = must(malloc(size + 1));
    memcpy(slot->compressed, bytes, length);
    memcpy(slot->text, text, size);
    slot->compressed_length = length;
    slot->length = size;
    *inflated = size;
    return slot->text;
}

static inline bool can_inflate(void) { return true; }

#else

static inline const char *message_inflate(const char *bytes, size_t length, size_t *inflated) {
    (void)bytes, (void)length, (void)inflated;
    return NULL;
}

static inline bool can_inflate(void) { return false; }

#endif
#endif
