/*
 * TCP as a test needs it: sessions accepted for echo, discard and chargen, or opened to send. No options but
 * the MSS, no congestion control, segments out of order are dropped and asked for again. Three acknowledgements
 * of one byte send that byte's segment once more, as does each later one that stops short of what was under way then
 * (RFC 6582); when nothing is acknowledged in time, sending begins again at the oldest byte.
 *
 *     FREE -> SYN_RECEIVED or SYN_SENT -> ESTABLISHED -> FIN_SENT -> FREE
 *
 * una <= next <= top; una + buffered is where the session's data ends, and the FIN stands.
 */
#include "net.h"

#define FLAG_FIN     1u
#define FLAG_SYN     2u
#define FLAG_RST     4u
#define FLAG_PSH     8u
#define FLAG_ACK     16u
#define RESEND_TIME  (FE_SECOND / 2)
#define PORT_ECHO    7
#define PORT_DISCARD 9
#define PORT_CHARGEN 19

static bool is_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static uint8_t *byte_at(struct tcp_session *s, uint32_t sequence)
{
    return &s->data[sequence & (TCP_BUFFER - 1)];
}

static void put_data(struct tcp_session *s, const uint8_t *from, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        *byte_at(s, s->una + s->buffered + i) = from[i];
    s->buffered += bytes;
}

static uint32_t our_window(const struct tcp_session *s)
{
    uint32_t room = TCP_BUFFER - s->buffered;
    return s->service != TCP_ECHO || room > 65535 ? 65535 : room;
}

/* Sends one segment with bytes of data from sequence on; false when no transmit page is free. */
static bool segment(struct net *n, struct tcp_session *s, uint32_t sequence, unsigned bytes, unsigned flags)
{
    unsigned number, header = flags & FLAG_SYN ? 24 : 20;
    uint8_t *frame = net_start(n, s->mac, &number);
    if (!frame)
        return false;
    uint8_t *tcp = frame + 34;
    net_put16(tcp, s->local);
    net_put16(tcp + 2, s->remote);
    net_put32(tcp + 4, sequence);
    net_put32(tcp + 8, flags & FLAG_ACK ? s->expected : 0);
    tcp[12] = (uint8_t)(header << 2);
    tcp[13] = (uint8_t)flags;
    net_put16(tcp + 14, our_window(s));
    net_put32(tcp + 16, 0);
    if (flags & FLAG_SYN)
        net_put32(tcp + 20, 0x02040000 | TCP_MSS);
    for (unsigned i = 0; i < bytes; i++)
        tcp[header + i] = *byte_at(s, sequence + i);
    uint32_t sum = net_sum((const uint8_t *)&n->address, 4,
                           net_sum((const uint8_t *)&s->address, 4, 6 + header + bytes));
    net_put16(tcp + 16, net_fold(sum));
    net_finish(n, number, s->address, 6, header + bytes, true);
    s->ack_now = s->ack_now && !(flags & FLAG_ACK);
    return true;
}

static struct tcp_session *find(struct net *n, uint32_t address, uint16_t local, uint16_t remote)
{
    for (unsigned i = 0; i < TCP_SESSIONS; i++) {
        struct tcp_session *s = &n->session[i];
        if (s->state != TCP_FREE && s->address == address && s->local == local && s->remote == remote)
            return s;
    }
    return NULL;
}

static struct tcp_session *new_session(struct net *n, uint32_t address, const uint8_t *mac, uint16_t local,
                                       uint16_t remote)
{
    for (unsigned i = 0; i < TCP_SESSIONS; i++) {
        struct tcp_session *s = &n->session[i];
        if (s->state != TCP_FREE)
            continue;
        uint8_t *data = s->data;
        *s = (struct tcp_session){.address = address, .local = local, .remote = remote, .data = data};
        memcpy(s->mac, mac, 6);
        s->una = s->next = s->top = s->recover = (uint32_t)fe_now();
        return s;
    }
    return NULL;
}

static void accept(struct net *n, uint32_t address, const uint8_t *tcp, const uint8_t *mac)
{
    uint16_t local = net_get16(tcp + 2);
    if (local != PORT_ECHO && local != PORT_DISCARD && local != PORT_CHARGEN)
        return;
    struct tcp_session *s = new_session(n, address, mac, local, net_get16(tcp));
    if (!s)
        return;
    s->service = local == PORT_ECHO ? TCP_ECHO : local == PORT_DISCARD ? TCP_DISCARD : TCP_CHARGEN;
    s->expected = net_get32(tcp + 4) + 1;
    s->window = net_get16(tcp + 14);
    s->state = TCP_SYN_RECEIVED;
    segment(n, s, s->una, 0, FLAG_SYN | FLAG_ACK);
    s->resend_at = fe_now() + RESEND_TIME;
}

/* Takes over what the other side acknowledges. bare: the segment says nothing else, not even another window. */
static void acknowledge(struct tcp_session *s, uint32_t ack, bool bare)
{
    uint32_t sent = s->top - s->una, acked = ack - s->una;
    if (acked == 0 || acked > sent) {
        if (acked == 0 && sent && bare && ++s->duplicates == 3 && !is_before(s->una, s->recover)) {
            s->recover = s->top;
            s->repeat = true;
        }
        return;
    }
    uint32_t data = acked < s->buffered ? acked : s->buffered;
    bool was_shut = our_window(s) < 2 * TCP_MSS;
    s->una += acked;
    s->buffered -= data;
    if (is_before(s->next, s->una))
        s->next = s->una;
    s->repeat = is_before(s->una, s->recover);
    s->ack_now = s->ack_now || (was_shut && our_window(s) >= 2 * TCP_MSS);
    s->duplicates = 0;
    s->resend_at = fe_now() + RESEND_TIME;
    if (s->state == TCP_FIN_SENT && s->una == s->top)
        s->state = TCP_FREE;
}

/* Takes data that continues what we have; what the echo has no room for is left for later. */
static void take_data(struct tcp_session *s, const uint8_t *data, unsigned bytes, uint32_t sequence, bool fin)
{
    uint32_t skip = s->expected - sequence;
    s->ack_now = s->ack_now || bytes || fin;
    if (skip > bytes)
        return; /* a hole before it, or old */
    uint32_t fresh = bytes - skip, room = s->service == TCP_ECHO ? TCP_BUFFER - s->buffered : fresh;
    uint32_t taken = fresh < room ? fresh : room;
    if (s->service == TCP_ECHO)
        put_data(s, data + skip, taken);
    s->expected += taken;
    s->received += taken;
    if (fin && taken == fresh && !s->peer_done) {
        s->peer_done = true;
        s->expected++;
    }
}

static void established(struct tcp_session *s, uint32_t ack)
{
    s->una = s->next = s->top = s->recover = ack;
    s->state = TCP_ESTABLISHED;
}

void tcp_input(struct net *n, const uint8_t *ip, unsigned header, unsigned bytes, const uint8_t *mac)
{
    const uint8_t *tcp = ip + header;
    unsigned offset = bytes - header < 20 ? 0 : (tcp[12] >> 4) * 4u, flags = offset ? tcp[13] : 0;
    uint32_t address;
    memcpy(&address, ip + 12, 4);
    if (offset < 20 || offset > bytes - header)
        return;
    struct tcp_session *s = find(n, address, net_get16(tcp + 2), net_get16(tcp));
    if (!s) {
        if ((flags & (FLAG_SYN | FLAG_ACK | FLAG_RST)) == FLAG_SYN)
            accept(n, address, tcp, mac);
        return;
    }
    uint32_t sequence = net_get32(tcp + 4), ack = net_get32(tcp + 8);
    if (flags & FLAG_RST) {
        s->state = TCP_FREE;
        return;
    }
    bool same_window = s->window == net_get16(tcp + 14);
    s->window = net_get16(tcp + 14);
    if (s->state == TCP_SYN_SENT && (flags & FLAG_SYN) && ack == s->una + 1) {
        s->expected = sequence + 1;
        s->ack_now = true;
        established(s, ack);
        return;
    }
    if (s->state == TCP_SYN_RECEIVED && (flags & FLAG_ACK) && ack == s->una + 1)
        established(s, ack);
    if (s->state < TCP_ESTABLISHED || (flags & FLAG_SYN))
        return;
    if (flags & FLAG_ACK)
        acknowledge(s, ack, bytes - header == offset && same_window);
    take_data(s, tcp + offset, bytes - header - offset, sequence, flags & FLAG_FIN);
}

/* Puts data of the session's own making into the buffer: the 94 printable characters, over and over. */
static void produce(struct tcp_session *s)
{
    uint64_t wanted = s->service == TCP_CHARGEN && !s->peer_done ? TCP_BUFFER
                      : s->service == TCP_CLIENT                 ? s->to_send
                                                                 : 0;
    uint32_t room = TCP_BUFFER - s->buffered;
    uint32_t now = wanted < room ? (uint32_t)wanted : room;
    for (uint32_t i = 0; i < now; i++)
        *byte_at(s, s->una + s->buffered + i) = (uint8_t)('!' + s->made++ % 94);
    s->buffered += now;
    if (s->service == TCP_CLIENT)
        s->to_send -= now;
}

/* Notes that what stands before sequence has been sent. */
static void sent_to(struct tcp_session *s, uint32_t sequence)
{
    if (is_before(s->next, sequence))
        s->next = sequence;
    if (is_before(s->top, sequence))
        s->top = sequence;
}

static void send_data(struct net *n, struct tcp_session *s)
{
    for (;;) {
        uint32_t sent = s->next - s->una, ready = sent < s->buffered ? s->buffered - sent : 0;
        uint32_t allowed = s->window > sent ? s->window - sent : 0;
        uint32_t now = ready < TCP_MSS ? ready : TCP_MSS;
        if (now == 0 || now > allowed || !segment(n, s, s->next, now, FLAG_ACK | FLAG_PSH))
            break;
        if (sent == 0)
            s->resend_at = fe_now() + RESEND_TIME;
        sent_to(s, s->next + now);
    }
    bool all_sent = s->next - s->una == s->buffered;
    bool finished = s->service == TCP_CLIENT ? s->to_send == 0 : s->peer_done;
    if (finished && all_sent && segment(n, s, s->next, 0, FLAG_FIN | FLAG_ACK)) {
        sent_to(s, s->next + 1);
        s->state = TCP_FIN_SENT;
        s->resend_at = fe_now() + RESEND_TIME;
    }
}

/* Sends the oldest segment once more, or for the first time into a window that stays too small for it. */
static void repeat_oldest(struct net *n, struct tcp_session *s)
{
    uint32_t bytes = s->buffered < TCP_MSS ? s->buffered : TCP_MSS;
    s->repeat = bytes && !segment(n, s, s->una, bytes, FLAG_ACK | FLAG_PSH);
    if (!s->repeat)
        sent_to(s, s->una + bytes);
}

static void resend(struct net *n, struct tcp_session *s)
{
    s->resend_at = fe_now() + RESEND_TIME;
    if (s->state == TCP_SYN_SENT)
        segment(n, s, s->una, 0, FLAG_SYN);
    else if (s->state == TCP_SYN_RECEIVED)
        segment(n, s, s->una, 0, FLAG_SYN | FLAG_ACK);
    else {
        s->next = s->recover = s->una;
        s->repeat = true;
    }
}

void tcp_run(struct net *n)
{
    for (unsigned i = 0; i < TCP_SESSIONS; i++) {
        struct tcp_session *s = &n->session[i];
        if (s->state == TCP_FREE)
            continue;
        if (fe_now() > s->resend_at)
            resend(n, s);
        if (s->state >= TCP_ESTABLISHED) {
            produce(s);
            if (s->repeat)
                repeat_oldest(n, s);
            send_data(n, s);
        }
        if (s->ack_now)
            segment(n, s, s->next, 0, FLAG_ACK);
    }
}

struct tcp_session *tcp_connect(struct net *n, uint32_t to, unsigned port, uint64_t bytes)
{
    /* Not the port of the guest before us at the same address: the other side may still wait for its last word. */
    static uint16_t local;
    if (local == 0)
        local = (uint16_t)(40000 + fe_now() / (FE_SECOND / 1000) % 20000);
    struct tcp_session *s = new_session(n, to, n->gateway_mac, local++, (uint16_t)port);
    if (!s)
        return NULL;
    s->service = TCP_CLIENT;
    s->to_send = bytes;
    s->state = TCP_SYN_SENT;
    s->window = TCP_MSS;
    segment(n, s, s->una, 0, FLAG_SYN);
    s->resend_at = fe_now() + RESEND_TIME;
    return s;
}
