/* bare_get.c: what simple_get is measured against: the system calls, and nothing around them.
 *
 *     bare_get ADDRESS PORT PATH */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char request[1024], response[65536];
    if (argc != 4)
        return 2;
    struct sockaddr_in peer = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)strtol(argv[2], NULL, 10))};
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s:%s\r\n\r\n", argv[3],
                       argv[1], argv[2]);
    if (len < 0 || (size_t)len >= sizeof request ||
        inet_pton(AF_INET, argv[1], &peer.sin_addr) != 1)
        return 2;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof peer) < 0 ||
        send(fd, request, (size_t)len, 0) != len)
        return 1;
    ssize_t got = recv(fd, response, sizeof response, 0);
    if (got <= 0)
        return 1;
    printf("Request: GET %s HTTP/1.1\nHost:%s:%s\n[RECV] - length: %zd\n", argv[3], argv[1],
           argv[2], got);
    fwrite(response, 1, (size_t)got, stdout);
    close(fd);
    return fflush(stdout) == 0 ? 0 : 1;
}
