/* Sec-WebSocket-Accept: base64(SHA-1(key + the GUID of RFC 6455)). */
#ifndef WSGATE_BENCH_ACCEPT_KEY_H
#define WSGATE_BENCH_ACCEPT_KEY_H

#include <stdint.h>
#include <string.h>

static inline uint32_t rotate_left(uint32_t word, unsigned bits) { return word << bits | word >> (32 - bits); }

static inline void sha1_block(uint32_t state[5], const unsigned char block[64]) {
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++) w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t mix = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
                       : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                       : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                                : (b ^ c ^ d) + 0xca62c1d6;
        mix += rotate_left(a, 5) + e + w[i];
        e = d, d = c, c = rotate_left(b, 30), b = a, a = mix;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* `key` is 24 characters; `out` takes 28. */
static inline void accept_key(const char *key, char *out) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char text[128] = {0}, digest[21] = {0};
    memcpy(text, key, 24);
    memcpy(text + 24, guid, 36);
    text[60] = 0x80;
    text[126] = 60 * 8 >> 8;
    text[127] = 60 * 8 & 255;
    sha1_block(state, text);
    sha1_block(state, text + 64);
    for (int i = 0; i < 20; i++) digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
    for (int i = 0; i < 7; i++, out += 4) {
        const unsigned char *three = digest + 3 * i;
        out[0] = digits[three[0] >> 2];
        out[1] = digits[(three[0] & 3) << 4 | three[1] >> 4];
        out[2] = digits[(three[1] & 15) << 2 | three[2] >> 6];
        out[3] = digits[three[2] & 63];
    }
    out[-1] = '='; /* 20 bytes are one short of a multiple of three */
}

#endif
