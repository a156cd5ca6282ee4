/* The floor under every HTTP server on one core: an epoll loop that reads requests and answers each with the same bytes,
 * whatever it asked for. It parses nothing but the empty line at the end.
 *
 *   floor PORT FILE      FILE holds the whole response
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 1 << 15, MAX_RESPONSE = 1 << 21, MAX_EVENTS = 64 };

static char response[MAX_RESPONSE];
static size_t response_size;
static unsigned char matched[MAX_CONNECTIONS]; /* how much of \r\n\r\n has come, by descriptor */

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void load(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail(path);
  response_size = fread(response, 1, sizeof response, file);
  if (ferror(file) || response_size == 0 || response_size == sizeof response) fail(path);
  fclose(file);
}

static int listen_on(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
  if (listen(fd, 16384) < 0) fail("listen");
  return fd;
}

/* ends counts the requests that end in the n bytes that have come in on fd. */
static int ends(int fd, const char *bytes, ssize_t n) {
  static const char end[4] = "\r\n\r\n";
  int count = 0;
  unsigned char at = matched[fd];
  for (ssize_t i = 0; i < n; i++) {
    if (bytes[i] == end[at])
      at++;
    else
      at = bytes[i] == '\r';
    if (at == 4) count++, at = 0;
  }
  matched[fd] = at;
  return count;
}

/* say writes the response. Who doesn't read is waited for: all that ask here do read. */
static int say(int fd) {
  size_t done = 0;
  while (done < response_size) {
    ssize_t n = write(fd, response + done, response_size - done);
    if (n > 0) {
      done += (size_t)n;
      continue;
    }
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    if (n == 0 || (errno != EAGAIN && errno != EINTR) || poll(&room, 1, 5000) == 0) return 0;
  }
  return 1;
}

/* serve answers what fd has to say; it is closed when it has no more, or takes no more. */
static void serve(int fd) {
  char bytes[16384];
  ssize_t n = read(fd, bytes, sizeof bytes);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    close(fd);
    return;
  }
  for (int count = ends(fd, bytes, n); count > 0; count--) {
    if (!say(fd)) {
      close(fd);
      return;
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: floor PORT FILE\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN); /* who leaves before the answer is no reason to end */
  load(argv[2]);
  int listener = listen_on(atoi(argv[1])), poll = epoll_create1(0);
  if (poll < 0) fail("epoll_create1");
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[MAX_EVENTS];
  if (epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event) < 0) fail("epoll_ctl");
  for (;;) {
    int n = epoll_wait(poll, events, MAX_EVENTS, -1);
    if (n < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < n; i++) {
      if (events[i].data.fd != listener) {
        serve(events[i].data.fd);
        continue;
      }
      int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), on = 1;
      if (fd < 0) continue;
      if (fd >= MAX_CONNECTIONS) {
        close(fd);
        continue;
      }
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      matched[fd] = 0;
      event.events = EPOLLIN;
      event.data.fd = fd;
      if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0) close(fd);
    }
  }
}
