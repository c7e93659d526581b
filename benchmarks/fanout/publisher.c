/* Publishes `--rate` messages a second on each channel, evenly spread over the second, to a NATS server.
 *
 * Several rates, separated by commas, are one for each template: where one channel is busier than another, `--count`
 * is the busiest's, and all others end with a message of the same counter, so that a reader knows it for the latest.
 *
 * A payload is JSON of exactly `--size` bytes: channel number, counter, time of sending (CLOCK_MONOTONIC, ns) and
 * padding. Ends with a line of JSON; standard input at its end stops it early, so it never outlives whoever started
 * it.
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

/* The channels of one template: one message on each of them in turn. */
struct part {
    unsigned first_channel, channels;
    double apart_ns;
    uint64_t sent, total;
};

static struct part parts[64];
static unsigned part_count;

static void usage(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(2);
}

/* Ends with as many parts as there are templates, or exits. */
static void take_rates(const char *text, const struct channels *channels, unsigned count) {
    double rates[64] = {0}, busiest = 0;
    unsigned given = 0;
    for (char *at = (char *)text; given < 64; at++) {
        rates[given] = strtod(at, &at);
        if (!(rates[given] > 0)) usage("--rate must be above 0, or several such numbers with commas between them");
        if (rates[given] > busiest) busiest = rates[given];
        given++;
        if (*at != ',') break;
    }
    if (given > 1 && given != channels->templates) usage("--rate must be one, or one for each template of --channels");
    part_count = given > 1 ? given : 1;
    for (unsigned i = 0; i < part_count; i++) {
        struct part *part = &parts[i];
        part->first_channel = given > 1 ? channels->first[i] : 0;
        part->channels = (given > 1 ? channels->first[i + 1] : channels->count) - part->first_channel;
        part->apart_ns = 1e9 / (rates[i] * part->channels);
        part->total = (uint64_t)(count * (rates[i] / busiest) + 0.5) * part->channels;
    }
}

static struct part *next_part(void) {
    struct part *next = NULL;
    for (struct part *part = parts; part < parts + part_count; part++)
        if (part->sent < part->total &&
            (!next || (double)part->sent * part->apart_ns < (double)next->sent * next->apart_ns))
            next = part;
    return next;
}

static uint64_t start, late_max;

static void await(uint64_t due) {
    uint64_t now = now_ns();
    if (now < due) {
        sleep_until(due);
        now = now_ns();
    }
    if (now - due > late_max) late_max = now - due;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"port", 1, 0, 'p'}, {"channels", 1, 0, 'c'}, {"per-template", 1, 0, 't'}, {"rate", 1, 0, 'r'},
        {"size", 1, 0, 's'}, {"count", 1, 0, 'n'},    {"first", 1, 0, 'f'},        {0},
    };
    const char *templates = "token.bench.comment", *rates = "1";
    unsigned port = 4222, per_template = 1, count = 1, first = 1;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (option) {
        case 'p': port = (unsigned)atoi(optarg); break;
        case 'c': templates = optarg; break;
        case 't': per_template = (unsigned)atoi(optarg); break;
        case 'r': rates = optarg; break;
        case 's': size = (size_t)atoi(optarg); break;
        case 'n': count = (unsigned)atoi(optarg); break;
        case 'f': first = (unsigned)atoi(optarg); break;
        default: return 2;
        }
    if (size < 96 || size > 60000) usage("--size must be 96 to 60000");
    struct channels channels = channels_expand(templates, per_template);
    take_rates(rates, &channels, count);
    nats_open(&nats, port);
    start = now_ns();
    uint64_t sent = 0;
    for (struct part *part; (part = next_part()) && !abandoned(); sent++) {
        await(start + (uint64_t)((double)part->sent * part->apart_ns));
        unsigned channel = part->first_channel + (unsigned)(part->sent % part->channels);
        publish(channels.names[channel], channel, first + (unsigned)(part->sent++ / part->channels));
        nats_read(&nats, NULL, false);
    }
    for (struct part *part = parts; part < parts + part_count; part++)
        if (part->total < (uint64_t)count * part->channels)
            for (unsigned i = 0; i < part->channels && !abandoned(); i++, sent++)
                publish(channels.names[part->first_channel + i], part->first_channel + i, first + count - 1);
    nats_flush(&nats);
    printf("{\"event\":\"done\",\"published\":%llu,\"seconds\":%.3f,\"late_max_ms\":%.3f}\n",
           (unsigned long long)sent, (double)(now_ns() - start) / 1e9, (double)late_max / 1e6);
    return 0;
}
