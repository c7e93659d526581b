/* Publishes `--rate` messages a second on each channel, evenly spread over the second, to a NATS server.
 *
 * A payload is JSON of exactly `--size` bytes: channel number, counter, time of sending (CLOCK_MONOTONIC, ns) and
 * padding. Ends after `--count` messages a channel with a line of JSON; standard input at its end stops it early,
 * so it never outlives whoever started it.
 */
#define _GNU_SOURCE
#include <getopt.h>

#include "channels.h"
#include "nats.h"

static struct nats nats;
static size_t size = 500;

static void publish(const char *subject, unsigned channel, unsigned counter) {
    static const char filler[] = "the quick brown fox jumps over the lazy dog, 0123456789 times; ";
    static char message[1 << 17];
    char *body = message + sprintf(message, "PUB %s %zu\r\n", subject, size), *end = body + size;
    char *at = body + sprintf(body, "{\"c\":%u,\"n\":%u,\"t\":%llu,\"pad\":\"", channel, counter,
                              (unsigned long long)now_ns());
    for (unsigned i = 0; at < end - 2; i++) *at++ = filler[i % (sizeof filler - 1)];
    memcpy(end - 2, "\"}\r\n", 4);
    nats_send(&nats, message, (size_t)(end + 2 - message));
}

static bool abandoned(void) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    return poll(&input, 1, 0) > 0;
}

static void sleep_until(uint64_t at) {
    struct timespec due = {.tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"port", 1, 0, 'p'}, {"channels", 1, 0, 'c'}, {"per-template", 1, 0, 't'}, {"rate", 1, 0, 'r'},
        {"size", 1, 0, 's'}, {"count", 1, 0, 'n'},    {"first", 1, 0, 'f'},        {0},
    };
    const char *templates = "token.bench.comment";
    unsigned port = 4222, per_template = 1, count = 1, first = 1;
    double rate = 1;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (option) {
        case 'p': port = (unsigned)atoi(optarg); break;
        case 'c': templates = optarg; break;
        case 't': per_template = (unsigned)atoi(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 's': size = (size_t)atoi(optarg); break;
        case 'n': count = (unsigned)atoi(optarg); break;
        case 'f': first = (unsigned)atoi(optarg); break;
        default: return 2;
        }
    if (size < 96 || size > 60000 || rate <= 0) {
        fprintf(stderr, "--size must be 96 to 60000, --rate above 0\n");
        return 2;
    }
    struct channels channels = channels_expand(templates, per_template);
    nats_open(&nats, port);
    double apart_ns = 1e9 / (rate * channels.count);
    uint64_t start = now_ns(), late_max = 0, sent = 0, total = (uint64_t)count * channels.count;
    for (; sent < total && !abandoned(); sent++) {
        uint64_t due = start + (uint64_t)((double)sent * apart_ns), now = now_ns();
        if (now < due) {
            sleep_until(due);
            now = now_ns();
        }
        if (now - due > late_max) late_max = now - due;
        unsigned channel = (unsigned)(sent % channels.count);
        publish(channels.names[channel], channel, first + (unsigned)(sent / channels.count));
        nats_read(&nats, NULL, false);
    }
    nats_flush(&nats);
    printf("{\"event\":\"done\",\"published\":%llu,\"seconds\":%.3f,\"late_max_ms\":%.3f}\n",
           (unsigned long long)sent, (double)(now_ns() - start) / 1e9, (double)late_max / 1e6);
    return 0;
}
