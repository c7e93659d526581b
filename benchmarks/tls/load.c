/* Clients with and without TLS. They only make the gateway work: what is published to them is thrown away unread, so
   that this process is never what limits. Whether it arrives whole and in order is the tests' business.

   load PORT plain|tls CHANNEL, then commands on standard input, each answered with a line of JSON:
     open COUNT                      so many more connections, subscribed to CHANNEL
     handshakes COUNT full|resumed   so many connections that upgrade and leave, one after another */
#define _GNU_SOURCE
#include "../fanout/wire.h"

#include <openssl/ssl.h>
#include <sys/epoll.h>

static unsigned port;
static const char *channel;
static SSL_CTX *context; /* NULL: plain */
static SSL_SESSION *session;
static int epoll;
static uint64_t gone;

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static int dial(void) {
    struct sockaddr_in address = loopback(1, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect");
    no_delay(fd);
    return fd;
}

static SSL *secure(int fd, bool resume) {
    SSL *ssl = context ? must(SSL_new(context)) : NULL;
    if (!ssl) return NULL;
    if (resume && session) SSL_set_session(ssl, session);
    if (SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) fail("no TLS handshake");
    if (resume && session && !SSL_session_reused(ssl)) fail("the session was not resumed");
    return ssl;
}

static void put(SSL *ssl, int fd, const char *bytes, size_t length) {
    if (ssl ? SSL_write(ssl, bytes, (int)length) != (int)length : send_all(fd, bytes, length) < 0) fail("cannot send");
}

/* What the gateway says next, which is small and comes in one piece. */
static void expect(SSL *ssl, int fd, const char *in_it) {
    char bytes[4096];
    ssize_t got = ssl ? SSL_read(ssl, bytes, sizeof bytes) : recv(fd, bytes, sizeof bytes, 0);
    if (got <= 0 || !memmem(bytes, (size_t)got, in_it, strlen(in_it))) fail(in_it);
}

static void upgrade(SSL *ssl, int fd) {
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    put(ssl, fd, request, sizeof request - 1);
    expect(ssl, fd, " 101 ");
}

static void open_connections(unsigned count) {
    char command[256], bytes[300];
    int length = snprintf(command, sizeof command, "{\"type\":\"subscribe\",\"channels\":[\"%s\"]}", channel);
    for (unsigned i = 0; i < count; i++) {
        int fd = dial();
        SSL *ssl = secure(fd, false);
        upgrade(ssl, fd);
        put(ssl, fd, bytes, frame_masked(bytes, OP_TEXT, command, (size_t)length));
        expect(ssl, fd, "subscribed");
        SSL_free(ssl); /* the socket stays; what comes is not decrypted */
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    }
    printf("{\"event\":\"open\",\"connections\":%u}\n", count);
}

static void handshakes(unsigned count, bool resume) {
    uint64_t begun = now_ns();
    for (unsigned i = 0; i < count; i++) {
        int fd = dial();
        SSL *ssl = secure(fd, resume);
        upgrade(ssl, fd);
        if (ssl) { /* the ticket came before the 101 */
            SSL_SESSION_free(session);
            session = SSL_get1_session(ssl);
            SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN); /* or OpenSSL takes it for a session that failed */
        }
        SSL_free(ssl);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        close(fd);
    }
    printf("{\"event\":\"handshakes\",\"count\":%u,\"seconds\":%.6f,\"gone\":%lu}\n", count,
           (double)(now_ns() - begun) / 1e9, (unsigned long)gone);
}

static void drain(void) {
    static char bytes[1 << 16];
    struct epoll_event ready[256];
    int count = epoll_wait(epoll, ready, 256, 0);
    for (int i = 0; i < count; i++) {
        int fd = ready[i].data.fd;
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got > 0 || (got < 0 && errno == EAGAIN)) continue;
        gone++;
        close(fd);
    }
}

int main(int argc, char **argv) {
    if (argc != 4) fail("usage: load PORT plain|tls CHANNEL");
    port = (unsigned)atoi(argv[1]);
    channel = argv[3];
    epoll = epoll_create1(0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(argv[2], "tls")) {
        context = must(SSL_CTX_new(TLS_client_method()));
        SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    }
    for (;;) {
        char line[64], kind[16] = "";
        unsigned count;
        struct pollfd command = {.fd = 0, .events = POLLIN};
        drain();
        if (poll(&command, 1, 1) <= 0) continue;
        ssize_t got = read(0, line, sizeof line - 1);
        if (got <= 0) return 0;
        line[got] = 0;
        if (sscanf(line, "open %u", &count) == 1) open_connections(count);
        else if (sscanf(line, "handshakes %u %15s", &count, kind) == 2) handshakes(count, !strcmp(kind, "resumed"));
        else fail("no such command");
    }
}
