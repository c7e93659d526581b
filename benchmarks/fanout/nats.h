/* As much of the NATS client protocol as a publisher and a subscriber need: no reconnect, no headers. */
#ifndef WSGATE_BENCH_NATS_H
#define WSGATE_BENCH_NATS_H

#include "wire.h"

struct nats {
    int fd;
    size_t used;
    bool pong; /* the server has answered our last PING: it has seen all that went before */
    char buffer[1 << 20];
};

typedef void nats_handler(const char *subject, size_t subject_length, const char *payload,
                          size_t payload_length);

static inline void nats_send(struct nats *nats, const char *bytes, size_t length) {
    if (send_all(nats->fd, bytes, length) < 0) die("nats: send");
}

static inline void nats_command(struct nats *nats, const char *line) {
    nats_send(nats, line, strlen(line));
}

/* Handles one protocol line and its payload. Returns the bytes used, 0 while they are not all there. */
static inline size_t nats_step(struct nats *nats, char *at, size_t available, nats_handler *handler) {
    char *end = memmem(at, available, "\r\n", 2);
    if (!end) return 0;
    size_t line = (size_t)(end - at);
    if (line > 4 && !memcmp(at, "MSG ", 4)) {
        char *subject = at + 4, *size = end;
        size_t subject_length = (size_t)((char *)memchr(subject, ' ', line - 4) - subject);
        while (size[-1] != ' ') size--;
        size_t length = strtoul(size, NULL, 10);
        if (available < line + 2 + length + 2) return 0;
        if (handler) handler(subject, subject_length, end + 2, length);
        return line + 2 + length + 2;
    }
    if (!memcmp(at, "PING", 4)) nats_command(nats, "PONG\r\n");
    if (!memcmp(at, "PONG", 4)) nats->pong = true;
    if (!memcmp(at, "-ERR", 4)) {
        fprintf(stderr, "nats: %.*s\n", (int)line, at);
        exit(1);
    }
    return line + 2;
}

/* Reads what there is, waiting for it only if `wait`. */
static inline void nats_read(struct nats *nats, nats_handler *handler, bool wait) {
    ssize_t got = recv(nats->fd, nats->buffer + nats->used, sizeof nats->buffer - nats->used,
                       wait ? 0 : MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) die("nats: connection lost");
    size_t have = nats->used + (size_t)got, done = 0, step;
    while ((step = nats_step(nats, nats->buffer + done, have - done, handler))) done += step;
    memmove(nats->buffer, nats->buffer + done, have - done);
    nats->used = have - done;
}

static inline void nats_flush(struct nats *nats) {
    nats->pong = false;
    nats_command(nats, "PING\r\n");
    while (!nats->pong) nats_read(nats, NULL, true);
}

static inline void nats_open(struct nats *nats, unsigned port) {
    struct sockaddr_in address = loopback(1, port);
    nats->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(nats->fd, (struct sockaddr *)&address, sizeof address)) die("nats: connect");
    no_delay(nats->fd);
    nats_command(nats, "CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"bench\",\"protocol\":0}\r\n");
    nats_flush(nats);
}

#endif
