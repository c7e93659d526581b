/* The channels of a scenario, from templates such as "token.c%03u.comment,global.trending": a template with a
   number stands for `--per-template` channels, one without for itself. Load client and publisher number them alike,
   those of a template in a row. */
#ifndef WSGATE_BENCH_CHANNELS_H
#define WSGATE_BENCH_CHANNELS_H

#include "wire.h"

struct channels {
    unsigned count, templates;
    char **names;
    unsigned *first; /* [template]: its first channel; one more, the count of all */
};

static inline struct channels channels_expand(const char *templates, unsigned per_template) {
    struct channels channels = {0};
    char *copy = must(strdup(templates)), *cursor = copy, *template;
    channels.first = must(calloc(strlen(templates) + 2, sizeof *channels.first));
    while ((template = strsep(&cursor, ","))) {
        char *percent = strchr(template, '%');
        bool fits = !percent || (percent[1 + strspn(percent + 1, "0123456789")] == 'u' && !strchr(percent + 1, '%'));
        if (!fits) {
            fprintf(stderr, "channel template: %s: one %%u or %%0Nu may be in it\n", template);
            exit(2);
        }
        for (unsigned i = 0; i < (percent ? per_template : 1); i++) {
            channels.names = must(realloc(channels.names, (channels.count + 1) * sizeof(char *)));
            if (asprintf(&channels.names[channels.count++], template, i) < 0) die("channel name");
        }
        channels.first[++channels.templates] = channels.count;
    }
    free(copy);
    return channels;
}

#endif
