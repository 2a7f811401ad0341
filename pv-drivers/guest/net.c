/* Ethernet, ARP, IPv4 and ICMP echo for the small kernel: as much as it takes to be a peer in a test. */
#include "net.h"

#include "../frontend/console.h"
#include "../frontend/event.h"

#define TYPE_IPV4     0x0800
#define TYPE_ARP      0x0806
#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP  6
#define MTU           1500u
#define TICK          (FE_SECOND / 10)

uint32_t net_sum(const uint8_t *p, size_t bytes, uint32_t start)
{
    for (; bytes > 1; bytes -= 2, p += 2)
        start += net_get16(p);
    return bytes ? start + ((uint32_t)p[0] << 8) : start;
}

uint16_t net_fold(uint32_t value)
{
    while (value >> 16)
        value = (value & 0xffff) + (value >> 16);
    return (uint16_t)value;
}

static void ethernet(struct net *n, uint8_t *frame, const uint8_t *to, uint16_t type)
{
    memcpy(frame, to, 6);
    memcpy(frame + 6, n->front->mac, 6);
    net_put16(frame + 12, type);
}

uint8_t *net_start(struct net *n, const uint8_t *mac, unsigned *number)
{
    uint8_t *frame = netfront_buffer(n->front, number);
    if (frame)
        ethernet(n, frame, mac, TYPE_IPV4);
    return frame;
}

void net_finish(struct net *n, unsigned number, uint32_t to, uint8_t protocol, unsigned payload,
                bool checksum_open)
{
    static uint16_t identification;
    uint8_t *ip = (uint8_t *)n->front->tx_page[number] + 14;
    memset(ip, 0, 20);
    ip[0] = 0x45;
    net_put16(ip + 2, 20 + payload);
    net_put16(ip + 4, identification++);
    net_put16(ip + 6, 0x4000);
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, &n->address, 4);
    memcpy(ip + 16, &to, 4);
    net_put16(ip + 10, (uint16_t)~net_fold(net_sum(ip, 20, 0)));
    netfront_send(n->front, number, 34 + payload, checksum_open);
}

static void send_arp(struct net *n, uint16_t operation, const uint8_t *mac, uint32_t to)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    unsigned number;
    uint8_t *frame = netfront_buffer(n->front, &number);
    if (!frame)
        return;
    ethernet(n, frame, operation == 1 ? broadcast : mac, TYPE_ARP);
    uint8_t *arp = frame + 14;
    net_put16(arp, 1);
    net_put16(arp + 2, TYPE_IPV4);
    arp[4] = 6;
    arp[5] = 4;
    net_put16(arp + 6, operation);
    memcpy(arp + 8, n->front->mac, 6);
    memcpy(arp + 14, &n->address, 4);
    memcpy(arp + 18, mac, 6);
    memcpy(arp + 24, &to, 4);
    netfront_send(n->front, number, 42, false);
}

static void arp_input(struct net *n, const uint8_t *arp, unsigned bytes)
{
    uint32_t from, to;
    if (bytes < 28)
        return;
    memcpy(&from, arp + 14, 4);
    memcpy(&to, arp + 24, 4);
    if (to != n->address)
        return;
    if (net_get16(arp + 6) == 1)
        send_arp(n, 2, arp + 8, from);
    memcpy(n->gateway_mac, arp + 8, 6);
    n->gateway = from;
}

static void icmp_input(struct net *n, const uint8_t *ip, unsigned header, unsigned bytes, const uint8_t *mac)
{
    const uint8_t *icmp = ip + header;
    unsigned number, payload = bytes - header;
    uint32_t from;
    if (payload < 8 || payload > MTU - 20 || icmp[0] != 8)
        return;
    uint8_t *frame = net_start(n, mac, &number);
    if (!frame)
        return;
    uint8_t *answer = frame + 34;
    memcpy(answer, icmp, payload);
    answer[0] = 0;
    net_put16(answer + 2, 0);
    net_put16(answer + 2, (uint16_t)~net_fold(net_sum(answer, payload, 0)));
    memcpy(&from, ip + 12, 4);
    net_finish(n, number, from, PROTOCOL_ICMP, payload, false);
}

static void ip_input(struct net *n, const uint8_t *ip, unsigned bytes, const uint8_t *mac)
{
    unsigned header = (ip[0] & 15u) * 4, total = bytes < 20 ? 0 : net_get16(ip + 2);
    if (bytes < 20 || ip[0] >> 4 != 4 || header < 20 || total < header || total > bytes ||
        memcmp(ip + 16, &n->address, 4) != 0 || (net_get16(ip + 6) & 0x3fff))
        return;
    if (ip[9] == PROTOCOL_ICMP)
        icmp_input(n, ip, header, total, mac);
    else if (ip[9] == PROTOCOL_TCP)
        tcp_input(n, ip, header, total, mac);
}

static void input(struct net *n, unsigned bytes)
{
    if (bytes < 14)
        return;
    uint16_t type = net_get16(n->frame + 12);
    if (type == TYPE_ARP)
        arp_input(n, n->frame + 14, bytes - 14);
    else if (type == TYPE_IPV4)
        ip_input(n, n->frame + 14, bytes - 14, n->frame + 6);
}

/* Handles what has arrived, sends what can be sent, and waits a tick for more. */
static void turn(struct net *n)
{
    unsigned bytes, count = 0;
    event_take(n->front->port);
    while (count++ < 64 && (bytes = netfront_receive(n->front, n->frame))) {
        if (n->watch)
            n->watch(n->front, n->frame, bytes);
        input(n, bytes);
    }
    tcp_run(n);
    netfront_kick(n->front);
    if (!netfront_sleep(n->front))
        fe_wait(&n->front->port, 1, fe_now() + TICK);
}

static int set_up(struct net *n, struct netfront *front, uint32_t address)
{
    n->front = front;
    n->address = address;
    if (!n->frame)
        n->frame = fe_pages_alloc(17);
    for (unsigned i = 0; i < TCP_SESSIONS; i++) {
        n->session[i].state = TCP_FREE;
        if (!n->session[i].data)
            n->session[i].data = fe_pages_alloc(TCP_BUFFER / FE_PAGE);
        if (!n->session[i].data)
            return -1;
    }
    return n->frame ? 0 : -1;
}

static struct net stack;

int net_serve(struct netfront *front, uint32_t address, unsigned seconds, frame_watch *watch)
{
    uint64_t end = fe_now() + seconds * FE_SECOND;
    if (set_up(&stack, front, address))
        return -1;
    stack.watch = watch;
    send_arp(&stack, 1, front->mac, address);
    while (fe_now() < end && console_read() < 0)
        turn(&stack);
    print("served; %lu transmit errors, %lu receive errors\n", front->tx_errors, front->rx_errors);
    return front->tx_errors || front->rx_errors ? -1 : 0;
}

int net_send(struct netfront *front, uint32_t address, uint32_t to, unsigned port, unsigned megabytes)
{
    struct net *n = &stack;
    uint64_t end = fe_now() + 10 * FE_SECOND, bytes = (uint64_t)megabytes << 20;
    if (set_up(n, front, address))
        return -1;
    for (n->gateway = 0; n->gateway != to && fe_now() < end;) {
        static const uint8_t nobody[6];
        send_arp(n, 1, nobody, to);
        turn(n);
    }
    uint64_t started = fe_now();
    struct tcp_session *s = n->gateway == to ? tcp_connect(n, to, port, bytes) : NULL;
    if (!s) {
        print("no answer to ARP\n");
        return -1;
    }
    for (end = fe_now() + 600 * FE_SECOND; s->state != TCP_FREE && fe_now() < end;)
        turn(n);
    bool complete = s->state == TCP_FREE && s->to_send == 0 && s->buffered == 0;
    uint64_t us = (fe_now() - started) / 1000 + 1;
    print("sent %lu bytes in %lu us, %lu Mbit/s%s\n", bytes - s->to_send, us, (bytes - s->to_send) * 8 / us,
          complete ? "" : ", not completed");
    return complete ? 0 : -1;
}
