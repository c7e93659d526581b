/* What the three programs share: time, sockets, and RFC 6455 frames in both directions. */
#ifndef WSGATE_BENCH_WIRE_H
#define WSGATE_BENCH_WIRE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

struct frame {
    unsigned opcode;
    bool plain; /* final, no reserved bits: the only kind these programs send */
    bool deflated; /* final, and only RSV1 set */
    bool masked;
    unsigned char mask[4];
    char *payload;
    size_t length;
};

/* Bytes of a frame that has not arrived whole yet; empty, and without memory, nearly always. */
struct inbox {
    char *rest;
    size_t length;
};

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static inline void *must(void *memory) {
    if (!memory) die("out of memory");
    return memory;
}

static inline uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline struct sockaddr_in loopback(unsigned host, unsigned port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + host);
    return address;
}

static inline void no_delay(int fd) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

/* Sends everything, waiting for room where it must. Returns how often it had to, -1 if the peer is gone. */
static inline int send_all(int fd, const char *bytes, size_t length) {
    int waits = 0;
    while (length) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            length -= (size_t)sent;
        } else if (errno == EAGAIN) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            poll(&room, 1, -1);
            waits++;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return waits;
}

/* Reads once behind what the inbox kept. Returns all bytes now in `buffer`; `*drained` tells whether the
   socket had no more, `*ended` whether it never will. */
static inline size_t inbox_read(struct inbox *inbox, int fd, char *buffer, size_t size, bool *drained,
                                bool *ended) {
    size_t kept = inbox->length;
    if (kept) {
        memcpy(buffer, inbox->rest, kept);
        free(inbox->rest);
        *inbox = (struct inbox){0};
    }
    ssize_t got = recv(fd, buffer + kept, size - kept, MSG_DONTWAIT);
    *ended = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    *drained = got < (ssize_t)(size - kept);
    return kept + (got > 0 ? (size_t)got : 0);
}

static inline void inbox_keep(struct inbox *inbox, const char *bytes, size_t length) {
    if (!length) return;
    inbox->rest = must(malloc(length));
    memcpy(inbox->rest, bytes, length);
    inbox->length = length;
}

/* Returns the bytes the frame takes, 0 while it is not whole. */
static inline size_t frame_parse(char *bytes, size_t available, struct frame *frame) {
    const unsigned char *head = (const unsigned char *)bytes;
    if (available < 2) return 0;
    frame->opcode = head[0] & 15;
    frame->plain = (head[0] & 0xf0) == 0x80;
    frame->deflated = (head[0] & 0xf0) == 0xc0;
    frame->masked = head[1] & 0x80;
    size_t length = head[1] & 0x7f, header = 2, extra = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (available < header + extra + (frame->masked ? 4 : 0)) return 0;
    if (extra) length = 0;
    for (; extra; extra--) length = length << 8 | head[header++];
    if (frame->masked) {
        memcpy(frame->mask, head + header, 4);
        header += 4;
    }
    if (available - header < length) return 0;
    frame->payload = bytes + header;
    frame->length = length;
    return header + length;
}

static inline void frame_unmask(struct frame *frame) {
    if (frame->masked)
        for (size_t i = 0; i < frame->length; i++) frame->payload[i] ^= (char)frame->mask[i & 3];
}

/* Writes the header of an unmasked final frame (at most 10 bytes); returns its length. */
static inline size_t frame_header(char *out, unsigned opcode, size_t length) {
    unsigned extra = length < 126 ? 0 : length < 65536 ? 2 : 8;
    out[0] = (char)(0x80 | opcode);
    out[1] = (char)(extra == 0 ? length : extra == 2 ? 126 : 127);
    for (unsigned i = 0; i < extra; i++) out[2 + i] = (char)(length >> (8 * (extra - 1 - i)));
    return 2 + extra;
}

/* Writes a client's frame (header, mask, masked payload); returns its length. */
static inline size_t frame_masked(char *out, unsigned opcode, const char *payload, size_t length) {
    static const char mask[4] = {0x5a, 0x17, (char)0xc3, 0x2e};
    size_t header = frame_header(out, opcode, length);
    out[1] |= (char)0x80;
    memcpy(out + header, mask, 4);
    header += 4;
    for (size_t i = 0; i < length; i++) out[header + i] = payload[i] ^ mask[i & 3];
    return header + length;
}

#endif
