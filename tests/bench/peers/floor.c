/* The floor: what it costs Linux to hand the same bytes to N connections, and nothing else.
 *
 * Accepts websockets (RFC 6455) on 127.0.0.1 and knows two kinds of text frames. One that begins
 * with '<' is written, unmasked, to every connection with one write each: the caller sends what
 * the chat would have sent. Any other is answered with a short text, to its sender only. No
 * extensions, no fragments, no rooms, no store. Built and started by make bench:
 *
 *     cc -O2 -o floor floor.c && ./floor PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 65536  /* file descriptors */
#define ROOM 16384  /* bytes of a request or of a message */

struct client { int upgraded; size_t have; char *data; };

static struct client clients[MOST];  /* by file descriptor */
static int viewers[MOST], count;     /* descriptors of those that are upgraded */

static uint32_t turn(uint32_t x, int n) { return x << n | x >> (32 - n); }

/* SHA-1 (FIPS 180-4) of less than 128 - 9 bytes. */
static void sha1(const char *text, size_t size, unsigned char out[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    unsigned char data[128] = {0};
    size_t blocks = size + 9 > 64 ? 2 : 1;
    memcpy(data, text, size);
    data[size] = 0x80;
    data[blocks * 64 - 2] = size * 8 >> 8;
    data[blocks * 64 - 1] = size * 8;
    for (size_t block = 0; block < blocks; block++) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 16; i++) {
            const unsigned char *p = data + block * 64 + i * 4;
            w[i] = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
        }
        for (int i = 16; i < 80; i++) w[i] = turn(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            uint32_t f, k;
            if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
            else if (i < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
            else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
            else f = b ^ c ^ d, k = 0xCA62C1D6;
            uint32_t t = turn(a, 5) + f + e + k + w[i];
            e = d, d = c, c = turn(b, 30), b = a, a = t;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) out[i] = h[i / 4] >> (24 - i % 4 * 8);
}

static void base64(const unsigned char *in, size_t size, char *out) {
    const char *set = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t v = in[i] << 16 | (i + 1 < size ? in[i + 1] << 8 : 0) | (i + 2 < size ? in[i + 2] : 0);
        *out++ = set[v >> 18], *out++ = set[v >> 12 & 63];
        *out++ = i + 1 < size ? set[v >> 6 & 63] : '=';
        *out++ = i + 2 < size ? set[v & 63] : '=';
    }
    *out = 0;
}

static void drop(int fd) {
    for (int i = 0; i < count; i++)
        if (viewers[i] == fd) viewers[i] = viewers[--count];
    free(clients[fd].data);
    memset(&clients[fd], 0, sizeof clients[fd]);
    close(fd);
}

/* The one thing that is measured. A reader that is slow is waited for. */
static void put(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t done = write(fd, data, size);
        if (done > 0) { data += done, size -= done; continue; }
        if (errno != EAGAIN) return;
        struct pollfd wait = {fd, POLLOUT, 0};
        poll(&wait, 1, 1000);
    }
}

static size_t frame(char *out, const char *text, size_t size) {
    size_t head = 2;
    out[0] = (char)0x81;
    if (size < 126) out[1] = size;
    else out[1] = 126, out[2] = size >> 8, out[3] = size, head = 4;
    memcpy(out + head, text, size);
    return head + size;
}

/* Answer the handshake when it is complete; returns the bytes used, or -1. */
static long upgrade(int fd, char *data, size_t have) {
    char text[128], answer[256], key[32];
    unsigned char digest[20];
    char *end = memmem(data, have, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    char *found = strcasestr(data, "\r\nSec-WebSocket-Key:");
    if (!found || sscanf(found + 20, " %31s", key) != 1) return -1;
    snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(text, strlen(text), digest);
    base64(digest, 20, text);
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", text);
    put(fd, answer, size);
    clients[fd].upgraded = 1;
    viewers[count++] = fd;
    return end + 4 - data;
}

/* Do what the first frame says when it is whole; returns the bytes used, or -1. */
static long message(int fd, char *data, size_t have) {
    static char out[ROOM + 4];
    if (have < 6) return 0;
    unsigned char *head = (unsigned char *)data;
    size_t size = head[1] & 127, at = 2;
    if (size == 127 || !(head[1] & 128)) return -1;
    if (size == 126) size = head[2] << 8 | head[3], at = 4;
    if (have < at + 4 + size) return have < ROOM ? 0 : -1;
    char *key = data + at, *text = key + 4;
    if ((head[0] & 15) == 8) return -1;
    for (size_t i = 0; i < size; i++) text[i] ^= key[i % 4];
    if ((head[0] & 15) == 1 && size && text[0] == '<') {
        size_t length = frame(out, text, size);
        for (int i = 0; i < count; i++) put(viewers[i], out, length);
    } else if ((head[0] & 15) == 1) {
        put(fd, out, frame(out, "<p>watching</p>", 15));
    }
    return at + 4 + size;
}

static void readable(int fd) {
    struct client *client = &clients[fd];
    ssize_t got = read(fd, client->data + client->have, ROOM - client->have);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { drop(fd); return; }
    client->have += got;
    for (;;) {
        long used = client->upgraded ? message(fd, client->data, client->have)
                                     : upgrade(fd, client->data, client->have);
        if (used < 0 || (!used && client->have == ROOM)) { drop(fd); return; }
        if (!used) return;
        client->have -= used;
        memmove(client->data, client->data + used, client->have);
    }
}

static void welcome(int epoll, int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MOST) { close(fd); continue; }
        clients[fd].data = malloc(ROOM);
        struct epoll_event event = {EPOLLIN, {.fd = fd}};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    signal(SIGPIPE, SIG_IGN);
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("floor");
        return 1;
    }
    struct epoll_event event = {EPOLLIN, {.fd = listener}}, events[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener) welcome(epoll, listener);
            else readable(events[i].data.fd);
        }
    }
}
