/* wsgate.delta.v1 for the load client: each message is decoded once for all who hold the same keyframe, and compared
   after that. docs/protocol.md has the format. */
#ifndef WSGATE_BENCH_DELTA_H
#define WSGATE_BENCH_DELTA_H

#include "inflate.h"

enum form { KEYFRAME = 1, RENEWAL, DELTA, KEPT, SAME, PLAIN };

/* Never freed: there are as many as the gateway makes in a run, and whoever holds one may hold it for long. */
struct keyframe {
    uint64_t number, seq;
    unsigned generation;
    char *type, *channel, *payload;
    size_t type_length, channel_length, length;
};

/* What a connection holds: as many as it subscribes to channels. */
struct holdings {
    struct keyframe **held;
    unsigned count;
};

/* A message and what it is to who holds `against`; a newer one with the same hash takes its place. */
struct known_delta {
    const struct keyframe *against;
    struct keyframe *brings;
    char *message, *text;
    size_t message_length, length;
};

#ifdef WITH_ZLIB

static inline bool varint(const char **at, const char *end, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 56; shift += 7) {
        if (*at == end) return false;
        unsigned char byte = (unsigned char)*(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

static inline bool word(const char **at, const char *end, char **copy, size_t *length) {
    uint64_t size;
    if (!varint(at, end, &size) || !size || size > (uint64_t)(end - *at)) return false;
    *copy = must(malloc(size));
    memcpy(*copy, *at, size);
    *length = size;
    *at += size;
    return true;
}

/* One whole stream, which ends with a final block where the message does. Good until the next call. */
static inline const char *inflate_against(const struct keyframe *against, const char *bytes, size_t length, size_t *size) {
    static char text[INFLATED_MAX];
    z_stream stream = {.next_in = (unsigned char *)bytes, .avail_in = (unsigned)length, .next_out = (unsigned char *)text,
                       .avail_out = sizeof text};
    if (inflateInit2(&stream, -15) != Z_OK) die("inflate");
    if (against && against->length) inflateSetDictionary(&stream, (unsigned char *)against->payload, (unsigned)against->length);
    bool whole = inflate(&stream, Z_FINISH) == Z_STREAM_END && !stream.avail_in;
    *size = sizeof text - stream.avail_out;
    inflateEnd(&stream);
    return whole ? text : NULL;
}

static inline struct keyframe *keyframe_with(struct keyframe head, const char *payload, size_t length) {
    struct keyframe *keyframe = must(malloc(sizeof *keyframe));
    *keyframe = head;
    keyframe->payload = must(malloc(length + 1));
    memcpy(keyframe->payload, payload, length);
    keyframe->length = length;
    return keyframe;
}

static inline bool decode_keyframe(const char *at, const char *end, struct known_delta *known) {
    struct keyframe head = {.generation = (unsigned char)*at++ >> 3};
    uint64_t kind;
    size_t length;
    if (!varint(&at, end, &head.number) || !varint(&at, end, &head.seq) || !varint(&at, end, &kind) ||
        !word(&at, end, &head.type, &head.type_length) || !word(&at, end, &head.channel, &head.channel_length))
        return false;
    const char *payload = inflate_against(NULL, at, (size_t)(end - at), &length);
    if (payload) known->brings = keyframe_with(head, payload, length);
    return payload;
}

/* The publication as its text message, and the keyframe that it brings, if any. */
static inline bool decode_against(const char *at, const char *end, const struct keyframe *against, struct known_delta *known) {
    enum form form = *at & 7;
    const char *payload = against->payload;
    size_t length = against->length;
    uint64_t number, zigzag, back = 0;
    if ((unsigned char)*at++ >> 3 != against->generation) return false;
    if (!varint(&at, end, &number) || !varint(&at, end, &zigzag)) return false;
    uint64_t seq = against->seq + (zigzag >> 1 ^ -(zigzag & 1));
    if (form != RENEWAL && !varint(&at, end, &back)) return false;
    if (form == PLAIN) payload = at, length = (size_t)(end - at);
    else if (form == SAME) payload = at == end ? payload : NULL;
    else payload = inflate_against(against, at, (size_t)(end - at), &length);
    if (!payload || form < RENEWAL || form > PLAIN) return false;
    if (form == RENEWAL || form == KEPT) {
        struct keyframe head = *against;
        head.generation = (head.generation + 1) & 31;
        head.seq = seq;
        known->brings = keyframe_with(head, payload, length);
    }
    if (form == RENEWAL) return true;
    known->text = must(malloc(against->type_length + against->channel_length + length + 128));
    int opening = sprintf(known->text, "{\"type\":\"%.*s\",\"channel\":\"%.*s\",\"seq\":%llu,\"prev\":%llu,\"data\":",
                          (int)against->type_length, against->type, (int)against->channel_length, against->channel,
                          (unsigned long long)seq, (unsigned long long)(back ? seq - back : 0));
    memcpy(known->text + opening, payload, length);
    known->text[(size_t)opening + length] = '}';
    known->length = (size_t)opening + length + 1;
    return true;
}

/* The publication's text; NULL with `*brings` set: a keyframe alone; NULL without: nonsense, or more channels than
   there are subscriptions. Good until the next call. */
static inline const char *delta_decode(struct holdings *holdings, unsigned most, const char *bytes, size_t length,
                                       size_t *text_length, bool *brings) {
    static struct known_delta known[KNOWN];
    const char *at = bytes + 1, *end = bytes + length;
    uint64_t number;
    *brings = false;
    if (!length || !varint(&at, end, &number)) return NULL;
    unsigned place = 0;
    while (place < holdings->count && holdings->held[place]->number != number) place++;
    struct keyframe *against = place < holdings->count ? holdings->held[place] : NULL;
    if ((bytes[0] & 7) == KEYFRAME) against = NULL;
    else if (!against) return NULL;
    struct known_delta *slot = &known[(message_hash(bytes, length) ^ ((uintptr_t)against >> 4)) % KNOWN];
    if (slot->against != against || slot->message_length != length || memcmp(slot->message, bytes, length)) {
        struct known_delta found = {.against = against, .message_length = length};
        bool good = against ? decode_against(bytes, end, against, &found) : decode_keyframe(bytes, end, &found);
        if (!good) return NULL;
        found.message = must(malloc(length));
        memcpy(found.message, bytes, length);
        free(slot->message);
        free(slot->text);
        *slot = found;
    }
    if (slot->brings) {
        if (place == most) return NULL;
        if (!holdings->held) holdings->held = must(calloc(most, sizeof *holdings->held));
        if (place == holdings->count) holdings->count++;
        holdings->held[place] = slot->brings;
        *brings = true;
    }
    *text_length = slot->length;
    return slot->text;
}

#else

static inline const char *delta_decode(struct holdings *holdings, unsigned most, const char *bytes, size_t length,
                                       size_t *text_length, bool *brings) {
    (void)holdings, (void)most, (void)bytes, (void)length, (void)text_length, (void)brings;
    return NULL;
}

#endif
#endif
