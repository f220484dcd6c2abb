/* Load generator: thousands of HTTP clients in one thread, compiled by harness/process.py with cc.
 *
 * Each published event contains one marker: '~' and eight digits, which must not occur elsewhere. A delivery is a marker in
 * a response body, with any framing around it (SSE, multipart, chunks, WebSocket), so one parser is enough for all servers.
 * The marker tells which event was delivered. The latency is the time since the publish request of that event was sent.
 *
 * usage: loadgen name=value...
 *   mode=stream   subscribe, then publish for `seconds` with `window` events in flight
 *   mode=poll     the same with long polls; a client polls again immediately after an answer
 *   mode=request  plain requests on keep-alive connections for `seconds`, no publisher
 *   mode=connect  all `clients` connect at once; a client is done when it has its response headers; with expect=N, when it
 *                 has received N markers; with asked=1, when it has sent its request; with silent=1, when it is
 *                 connected. once=1: a client sends only one request. verify=1: when all are done, one event must
 *                 reach all of them. hold=1: after that, stay connected until stdin ends
 *   port clients path publish      the server's port, the number of clients, the paths to subscribe and to publish;
 *                                  "{id}" in the path is the client's number
 *   header=LINE (repeated)         sent with every GET
 *   say=TEXT                       what a WebSocket client sends when it has its headers
 *   ready=TEXT                     a client is subscribed when it has received this text, not when it has its response headers
 *   echo=FROM:TO (repeated)        a response header that the next request of that client sends back as the header TO
 *   spin=N        poll every N microseconds instead of sleeping in the kernel: the server would have to wake a sleeping
 *                 generator, which costs CPU time that clients on another machine do not cost. This waiting does not
 *                 count as CPU time of the generator
 *   quiet=1                        mode=stream, but nothing is published
 *   inside=1                       mode=stream without publishers: a datagram to the same port asks the server to publish
 *                                  `window` events; the next datagram is sent when all of them were delivered
 *   list=1                         mode=stream with one publisher: it publishes a JSON list of `window` events, and the next
 *                                  list when all of them were delivered
 *   reach=N                        how many clients each event must reach; default: all
 *   channels=N                     with inside=1: event n goes to the channel "room" followed by n modulo N, not to "room"
 *   probe=PATH every=SECONDS       also send plain requests on a separate connection; p50, p99 and worst are those of
 *                                  these requests
 *   settle warm seconds deadline   durations in seconds
 *   pids=1,2                       the processes whose CPU time is reported
 *   beside=3                       another process, whose CPU time is reported separately
 * Prints one line of JSON. After an error, prints one line on stderr, and exits with status 1. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EVENTS = 1 << 22, MAX_HEAD = 16384, ROOM = 1 << 18, MARKER = 9, CONNECTING_AT_ONCE = 256, ECHOES = 2,
       MAX_LIST = 256 };
enum state { CONNECTING, HEAD, BODY, IDLE };

struct conn {
    int fd, publisher, probe, done;
    enum state state;
    long need;           /* bytes of the body that are still to come; -1: unlimited */
    char *rest;          /* bytes received but not parsed yet: part of a header or of a marker */
    size_t rest_len;
    double started;      /* time of connect() or, with keep-alive, of the last request */
    long seen;           /* markers received */
    char *echo[ECHOES];  /* values to send back */
};

static const char *mode = "stream", *path = "/", *publish_path = "/", *probe_path, *pids = "", *beside = "", *headers[16];
static const char *say = "", *ready = "";
static char echo_from[ECHOES][64], echo_to[ECHOES][64];
static int n_headers, n_echoes, port, spin, clients = 1, window = 1, expect, verify, hold, asked, silent, once, quiet;
static int inside, list, reach, channels, datagrams;
static double settle = 0.1, warm = 0.3, seconds = 1, deadline = 60, every = 0.005;

static struct conn *conns, *publishers, prober = {.probe = 1};
static int ep, n_done;
static const char *phase = "connecting";
static double stop_at;                      /* the deadline */
static double sent[MAX_EVENTS];
static int got[MAX_EVENTS];
static long published, completed, first_measured, deliveries;
static double last_delivery;
static double idled;                        /* CPU time spent waiting (see spin) */
static int asking_again;                    /* mode=request: whether clients still send requests */
static long histogram[64 * 40];             /* of microseconds, with 64 steps per octave */
static long samples;
static double worst, probe_at, probing_since = 1e300;

static double clock_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double now(void) {
    return clock_of(CLOCK_MONOTONIC);
}

static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "loadgen: while %s: ", phase);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (%d of %d clients ready, %ld events published, %ld delivered to all)\n", n_done, clients, published,
            completed);
    exit(1);
}

/* -- latencies: exact to 1.6 percent, in constant memory ------------------------------------------------------------- */

static void record(double latency) {
    unsigned long us = latency > 0 ? (unsigned long)(latency * 1e6) : 0;
    int index = (int)us;
    if (us >= 64) {
        int octave = 63 - __builtin_clzl(us) - 6;
        index = 64 * (octave + 1) + (int)((us >> octave) - 64);
    }
    histogram[index]++;
    samples++;
    if (latency > worst)
        worst = latency;
}

static double percentile(double p) {
    long wanted = (long)(samples * p), sum = 0;
    for (int i = 0; i < (int)(sizeof histogram / sizeof *histogram); i++)
        if ((sum += histogram[i]) > wanted)
            return i < 64 ? i : (double)((unsigned long)(i % 64 + 64) << (i / 64 - 1));
    return 0;
}

/* -- sending --------------------------------------------------------------------------------------------------------- */

static void send_all(struct conn *c, const char *data, size_t len) {
    /* Requests are small, and the socket's buffer is empty: a partial write is an error. */
    ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
    if (n != (ssize_t)len)
        die("cannot send a request: %s", n < 0 ? strerror(errno) : "short write");
}

/* Sends a WebSocket text frame; its mask is all zeros. */
static void send_text(struct conn *c, const char *text) {
    size_t len = strlen(text);
    char frame[6 + 125] = {(char)0x81, (char)(0x80 | len)};
    if (len > 125)
        die("text too long for a frame: %s", text);
    memcpy(frame + 6, text, len);
    send_all(c, frame, 6 + len);
}

static void send_get(struct conn *c) {
    char text[4096];
    const char *id = strstr(path, "{id}");
    int len;
    if (id)
        len = snprintf(text, sizeof text, "GET %.*s%ld%s HTTP/1.1\r\nHost: 127.0.0.1\r\n", (int)(id - path), path,
                       (long)(c - conns), id + 4);
    else
        len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n", path);
    for (int i = 0; i < n_headers; i++)
        len += snprintf(text + len, sizeof text - len, "%s\r\n", headers[i]);
    for (int i = 0; i < n_echoes; i++)
        if (c->echo[i])
            len += snprintf(text + len, sizeof text - len, "%s: %s\r\n", echo_to[i], c->echo[i]);
    len += snprintf(text + len, sizeof text - len, "\r\n");
    c->state = HEAD;
    send_all(c, text, len);
}

static int event_json(char *text, size_t room, long id) {
    return snprintf(text, room,
                    "{\"type\":\"message\",\"html\":\"This is event ~%08ld of the benchmark\",\"ident\":\"bench\","
                    "\"avatar\":null,\"name\":\"Somebody\",\"address\":\"127.0.0.1\",\"time\":1700000000.25}",
                    id);
}

static long next_event(void) {
    if (++published >= MAX_EVENTS)
        die("more than %d events in one run", MAX_EVENTS);
    sent[published] = now();
    return published;
}

static void publish(struct conn *c) {
    static char body[MAX_LIST * 256], text[sizeof body + 1024];
    int body_len = 0;
    for (int i = 0; i < (list ? window : 1); i++) {
        if (list)
            body[body_len++] = i ? ',' : '[';
        body_len += event_json(body + body_len, sizeof body - body_len, next_event());
    }
    if (list)
        strcpy(body + body_len++, "]");
    int len = snprintf(text, sizeof text,
                       "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                       "Content-Length: %d\r\n\r\n%s",
                       publish_path, body_len, body);
    c->state = HEAD;
    send_all(c, text, len);
}

/* The server replaces the zeros with the number of each event. */
static void publish_inside(void) {
    char body[512], text[1024];
    long first = published + 1;
    for (int i = 0; i < window; i++)
        next_event();
    event_json(body, sizeof body, 0);
    int len = snprintf(text, sizeof text, "{\"first\": %ld, \"count\": %d, \"channels\": %d, \"event\": %s}", first, window,
                       channels, body);
    if (send(datagrams, text, len, 0) != len)
        die("cannot send a datagram: %s", strerror(errno));
}

static void send_probe(void) {
    char text[1024];
    int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", probe_path);
    prober.state = HEAD;
    prober.started = now();
    send_all(&prober, text, len);
}

/* -- receiving ------------------------------------------------------------------------------------------------------- */

static void client_done(struct conn *c) {
    if (c->done)
        return;
    c->done = 1;
    n_done++;
    if (!strcmp(mode, "connect"))
        record(now() - c->started);
}

static void delivered(struct conn *c, long id, double at) {
    c->seen++;
    if (expect) {
        if (c->seen == expect)
            client_done(c);
        return;
    }
    if (id < 1 || id > published)
        die("event %ld was never published", id);
    if (++got[id] == reach)
        completed++;
    if (got[id] > reach)
        die("event %ld was delivered twice", id);
    if (first_measured && id >= first_measured) {
        if (!probe_path)
            record(at - sent[id]);
        deliveries++;
        last_delivery = at;
    }
}

static void response_complete(struct conn *c) {
    c->state = IDLE;
    if (c->publisher)
        return;
    if (c->probe) {
        /* Also record the waits of the probes that were due meanwhile; otherwise a long wait would count only once. */
        for (double t = now() - c->started; t > 0 && c->started >= probing_since; t -= every)
            record(t);
        probe_at = c->started + every;
        return;
    }
    if (!strcmp(mode, "request")) {
        if (first_measured) {
            double t = now();
            record(t - c->started);
            deliveries++;
            last_delivery = t;
        }
        if (!asking_again)
            return;
        c->started = now();
    }
    if (!once)
        send_get(c);
}

static const char *find_header(const char *head, const char *name, size_t *len) {
    size_t name_len = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (!strncasecmp(line + 2, name, name_len) && line[2 + name_len] == ':') {
            const char *value = line + 2 + name_len + 1;
            value += strspn(value, " ");
            *len = strcspn(value, "\r");
            return value;
        }
    return NULL;
}

/* `head` ends with a NUL in place of its last line end. */
static void read_head(struct conn *c, const char *head) {
    size_t len;
    const char *value;
    int status = strncmp(head, "HTTP/1.", 7) ? 0 : atoi(head + strcspn(head, " "));
    if (status != 101 && (status < 200 || status > 204))
        die("answer to %s: %.300s", c->publisher ? publish_path : c->probe ? probe_path : path, head);
    int subscriber = !c->publisher && !c->probe;
    for (int i = 0; i < n_echoes && subscriber; i++)
        if ((value = find_header(head, echo_from[i], &len))) {
            free(c->echo[i]);
            c->echo[i] = strndup(value, len);
        }
    c->state = BODY;
    value = find_header(head, "Content-Length", &len);
    if (asked && subscriber)
        die("an unexpected answer: %.300s", head);
    c->need = value ? atol(value) : status == 204 ? 0 : -1;
    if (c->need < 0 && (!subscriber || !strcmp(mode, "poll") || !strcmp(mode, "request")))
        die("an answer without Content-Length: %.300s", head);
    if (subscriber && *say)
        send_text(c, say);
    if (subscriber && !expect && !asked && !*ready)
        client_done(c);
}

/* Counts the markers in a body. Returns where it stopped: at the end, or at an incomplete marker. */
static char *read_markers(struct conn *c, char *data, char *end, double at) {
    if (*ready && !c->done) {
        char *found = memmem(data, end - data, ready, strlen(ready));
        if (!found)
            return data;
        data = found;
        client_done(c);
    }
    for (char *tilde; (tilde = memchr(data, '~', end - data));) {
        if (end - tilde < MARKER)
            return tilde;
        long id = 0;
        int digits = 0;
        for (char digit; digits < MARKER - 1 && (digit = tilde[digits + 1]) >= '0' && digit <= '9'; digits++)
            id = id * 10 + digit - '0';
        if (digits == MARKER - 1) {
            delivered(c, id, at);
            data = tilde + MARKER;
        } else
            data = tilde + 1; /* this '~' is the length of a WebSocket frame */
    }
    return end;
}

/* Returns how many bytes were consumed. The caller passes the rest again, with the next bytes. */
static size_t understand(struct conn *c, char *data, size_t len, double at) {
    char *p = data, *end = data + len;
    while (p < end) {
        if (c->state == HEAD) {
            char *head_end = memmem(p, end - p, "\r\n\r\n", 4);
            if (!head_end)
                break;
            *head_end = 0;
            read_head(c, p);
            p = head_end + 4;
        } else if (c->state != BODY) {
            die("unexpected bytes: %.*s", (int)(end - p), p);
        }
        char *body = p, *body_end = c->need >= 0 && c->need < end - p ? p + c->need : end;
        p = c->publisher ? body_end : read_markers(c, p, body_end, at);
        if (c->need >= 0 && (c->need -= p - body) == 0)
            response_complete(c);
        if (p < body_end)
            break;
    }
    return p - data;
}

static void readable(struct conn *c) {
    static char buffer[MAX_HEAD + ROOM + 1];
    memcpy(buffer, c->rest, c->rest_len);
    ssize_t n = recv(c->fd, buffer + c->rest_len, ROOM, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("the server closed the connection of %s %ld%s%s", c->publisher ? "publisher" : c->probe ? "probe" : "client",
            c->publisher ? (long)(c - publishers) : c->probe ? 0L : (long)(c - conns), n < 0 ? ": " : "", n < 0 ? strerror(errno) : "");
    size_t len = c->rest_len + n, used = understand(c, buffer, len, now());
    c->rest_len = len - used;
    if (c->rest_len > MAX_HEAD)
        die("response headers of more than %d bytes", MAX_HEAD);
    if (c->rest_len) {
        c->rest = realloc(c->rest, MAX_HEAD);
        memcpy(c->rest, buffer + used, c->rest_len);
    }
    if (n == ROOM) /* edge-triggered: only a short read means that there is no more to read */
        readable(c);
}

static void writable(struct conn *c) {
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error)
        die("cannot connect: %s", strerror(error));
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &event);
    c->state = IDLE;
    if (c->publisher || c->probe)
        return;
    if (!strcmp(mode, "request") || silent)
        client_done(c);
    else {
        send_get(c);
        if (!strcmp(mode, "poll") || asked)
            client_done(c);
    }
}

static void turn(double timeout) {
    struct epoll_event events[512];
    if (probe_path && prober.state == IDLE && now() >= probe_at)
        send_probe();
    /* Few events at a time, so that a probe does not wait for the subscribers. */
    int n = epoll_wait(ep, events, probe_path ? 32 : 512, spin ? 0 : (int)(timeout * 1000 + 0.999));
    if (spin && n == 0) {
        double began = clock_of(CLOCK_THREAD_CPUTIME_ID), until = now() + spin * 1e-6;
        while (now() < until)
            ;
        idled += clock_of(CLOCK_THREAD_CPUTIME_ID) - began;
    }
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (c->state == CONNECTING)
            writable(c);
        else
            readable(c);
    }
    if (now() > stop_at)
        die("not ready after %g s", deadline);
}

static struct sockaddr_in server_address(void) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void start_connection(struct conn *c) {
    struct sockaddr_in address = server_address();
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->started = now();
    c->state = CONNECTING;
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &event);
}

/* -- the run --------------------------------------------------------------------------------------------------------- */

static void idle(double duration) {
    for (double until = now() + duration, t; (t = now()) < until;)
        turn(until - t);
}

static void publish_for(double duration) {
    double until = now() + duration;
    for (;;) {
        int over = now() >= until;
        if (over && completed == published)
            return;
        if (inside && !over && completed == published)
            publish_inside();
        if (list && !over && completed == published && publishers[0].state == IDLE)
            publish(&publishers[0]);
        for (int i = 0; i < window && !inside && !list && !over && published - completed < window; i++)
            if (publishers[i].state == IDLE)
                publish(&publishers[i]);
        turn(0.1);
    }
}

/* CPU time of all threads of the processes, including threads that have ended. */
static double cpu_of(const char *pids) {
    double sum = 0;
    for (const char *p = pids; *p; p += *p == ',') {
        long pid = strtol(p, (char **)&p, 10);
        clockid_t clock;
        if (clock_getcpuclockid(pid, &clock))
            die("process %ld is gone", pid);
        sum += clock_of(clock);
    }
    return sum;
}

static double own_cpu(void) {
    return clock_of(CLOCK_THREAD_CPUTIME_ID) - idled;
}

static void option(char *argument) {
    char *value = strchr(argument, '=');
    if (!value)
        die("not name=value: %s", argument);
    *value++ = 0;
    struct { const char *name; int *where; } ints[] = {
        {"port", &port}, {"clients", &clients}, {"window", &window}, {"expect", &expect},
        {"verify", &verify}, {"hold", &hold}, {"spin", &spin}, {"asked", &asked}, {"silent", &silent},
        {"once", &once}, {"quiet", &quiet}, {"inside", &inside}, {"list", &list}, {"reach", &reach}, {"channels", &channels}};
    struct { const char *name; double *where; } doubles[] = {
        {"settle", &settle}, {"warm", &warm}, {"seconds", &seconds}, {"deadline", &deadline}, {"every", &every}};
    struct { const char *name; const char **where; } strings[] = {
        {"mode", &mode}, {"path", &path}, {"publish", &publish_path}, {"probe", &probe_path}, {"pids", &pids},
        {"beside", &beside}, {"say", &say}, {"ready", &ready}};
#define LOOK_IN(table, convert) \
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) \
        if (!strcmp(argument, table[i].name)) { *table[i].where = convert; return; }
    LOOK_IN(ints, atoi(value))
    LOOK_IN(doubles, atof(value))
    LOOK_IN(strings, value)
    if (!strcmp(argument, "header") && n_headers < 16)
        headers[n_headers++] = value;
    else if (!strcmp(argument, "echo") && n_echoes < ECHOES &&
             sscanf(value, "%63[^:]:%63s", echo_from[n_echoes], echo_to[n_echoes]) == 2)
        n_echoes++;
    else
        die("unknown option %s=%s", argument, value);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        option(argv[i]);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    stop_at = now() + deadline;
    reach = reach ? reach : clients;
    if (list && window > MAX_LIST)
        die("more than %d events in a list", MAX_LIST);
    ep = epoll_create1(0);
    conns = calloc(clients, sizeof *conns);
    publishers = calloc(window, sizeof *publishers);

    int connect_mode = !strcmp(mode, "connect"), publishing = !connect_mode && strcmp(mode, "request") && !quiet;
    if (inside) {
        struct sockaddr_in address = server_address();
        datagrams = socket(AF_INET, SOCK_DGRAM, 0);
        if (datagrams < 0 || connect(datagrams, (struct sockaddr *)&address, sizeof address))
            die("cannot send datagrams: %s", strerror(errno));
    } else if (publishing || verify)
        for (int i = 0; i < window; i++) {
            publishers[i].publisher = 1;
            start_connection(&publishers[i]);
            while (publishers[i].state == CONNECTING)
                turn(0.1);
        }

    if (probe_path) {
        start_connection(&prober);
        while (prober.state == CONNECTING)
            turn(0.1);
    }

    double server = cpu_of(pids), other = cpu_of(beside), own = own_cpu(), began = now();
    int at_once = connect_mode && !hold ? clients : CONNECTING_AT_ONCE;
    for (int i = 0; i < clients; i++) {
        start_connection(&conns[i]);
        while (i - n_done >= at_once)
            turn(0.1);
    }
    while (n_done < clients)
        turn(0.1);
    double connected = now() - began;
    if (verify) {
        phase = "verifying that all are subscribed";
        publish(&publishers[0]);
        while (completed < published)
            turn(0.1);
    }
    double ended = now();

    if (!connect_mode) {
        phase = "warming up";
        asking_again = 1;
        idle(settle);
        if (!strcmp(mode, "request"))
            for (int i = 0; i < clients; i++) {
                conns[i].started = now();
                send_get(&conns[i]);
            }
        if (publishing)
            publish_for(warm);
        else
            idle(warm);
        phase = "measuring";
        probing_since = now();
        first_measured = published + 1;
        server = cpu_of(pids), other = cpu_of(beside), own = own_cpu(), last_delivery = began = now();
        if (publishing)
            publish_for(seconds);
        else
            idle(seconds);
        ended = quiet ? now() : last_delivery;
    }
    server = cpu_of(pids) - server;
    other = cpu_of(beside) - other;
    own = own_cpu() - own;
    printf("{\"seconds\": %.6f, \"connected\": %.6f, \"events\": %ld, \"deliveries\": %ld, \"p50\": %.6f, \"p99\": %.6f, "
           "\"worst\": %.6f, \"server_cpu\": %.6f, \"beside_cpu\": %.6f, \"generator_cpu\": %.6f}\n",
           ended - began, connected, first_measured ? published - first_measured + 1 : published, deliveries,
           percentile(.5) * 1e-6, percentile(.99) * 1e-6, worst, server, other, own);
    fflush(stdout);
    phase = "holding";
    spin = 0;
    fcntl(0, F_SETFL, O_NONBLOCK);
    for (char c; hold && read(0, &c, 1) < 0;)
        turn(0.1);
    return 0;
}
