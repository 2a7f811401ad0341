/*
 * The machine's console: a 16550 serial port and the VGA text screen, written by polling so that any context
 * may print. Reception is by interrupt once irq.c runs. One CPU writes at a time; bh/printk.h's lock sees to
 * that.
 */
#include <bh/arch.h>
#include <bh/cmdline.h>
#include <bh/console.h>
#include <bh/printk.h>
#include <asm/insn.h>
#include <asm/irq.h>
#include <asm/paging.h>
#include <asm/setup.h>

#define UART_DATA 0
#define UART_IER  1
#define UART_FCR  2
#define UART_LCR  3
#define UART_MCR  4
#define UART_LSR  5
#define UART_SCR  7

#define LCR_DLAB         0x80
#define LSR_RX_READY     0x01
#define LSR_TX_EMPTY     0x20
#define IER_RX           0x01
#define MCR_DTR_RTS_OUT2 0x0b
#define FCR_ENABLE_CLEAR 0x07

#define UART_CLOCK    115200
#define TX_FIFO_BYTES 16
#define TX_POLLS_MAX  100000 /* a port that never drains is given up for this character */
#define RX_BURST_MAX  64

#define VGA_COLUMNS 80
#define VGA_ROWS    25
#define VGA_TEXT    ((volatile uint16_t *)pa_to_va(0xb8000))
#define VGA_COLOR   0x0700

struct uart {
    uint16_t base; /* 0: not in use */
    uint8_t irq;
};
static struct uart uart;

static struct {
    bool on;
    unsigned int row, column;
    volatile uint16_t *text;
} vga;

static void uart_open(uint16_t base, uint8_t irq, const struct serial_option *o)
{
    static const char parities[] = "noems";
    uint8_t lcr = 0x03;

    outb(base + UART_SCR, 0x5a);
    if (inb(base + UART_SCR) != 0x5a)
        return; /* no port there */
    if (o->given && o->data_bits >= 5)
        lcr = (o->data_bits - 5) | (o->stop_bits == 2 ? 4 : 0);
    for (unsigned int i = 1; o->given && i < sizeof(parities) - 1; i++)
        if (o->parity == parities[i])
            lcr |= (2 * i - 1) << 3;
    outb(base + UART_IER, 0);
    if (o->baud) {
        uint32_t divisor = UART_CLOCK / o->baud;

        outb(base + UART_LCR, LCR_DLAB);
        outb(base + UART_DATA, divisor & 0xff);
        outb(base + UART_IER, divisor >> 8);
    }
    outb(base + UART_LCR, lcr);
    outb(base + UART_FCR, FCR_ENABLE_CLEAR);
    outb(base + UART_MCR, MCR_DTR_RTS_OUT2);
    uart = (struct uart){base, irq};
}

void serial_init(void)
{
    static const uint16_t bases[] = {0x3f8, 0x2f8};
    static const uint8_t irqs[] = {4, 3};

    for (unsigned int i = 0; i < 2 && uart.base == 0; i++) {
        const struct serial_option *o = &options.com[i];

        if (options.console & (i == 0 ? CONSOLE_COM1 : CONSOLE_COM2))
            uart_open(o->io_base ? o->io_base : bases[i], o->irq ? o->irq : irqs[i], o);
    }
    vga.on = options.console & CONSOLE_VGA;
    vga.text = VGA_TEXT;
    vga.row = VGA_ROWS - 1;
}

void vga_map_final(void)
{
    vga.text = iomap(0xb8000, VGA_COLUMNS * VGA_ROWS * 2);
    if (!vga.text)
        vga.on = false;
}

/* Waits until the port takes a burst of characters. */
static void uart_wait(void)
{
    for (unsigned int i = 0; i < TX_POLLS_MAX && !(inb(uart.base + UART_LSR) & LSR_TX_EMPTY); i++)
        cpu_pause();
}

static void uart_write(const char *text, size_t len)
{
    unsigned int room = 0;

    for (size_t i = 0; i < len; i++) {
        for (unsigned int part = text[i] == '\n' ? 0 : 1; part < 2; part++) {
            if (room == 0) {
                uart_wait();
                room = TX_FIFO_BYTES;
            }
            room--;
            outb(uart.base + UART_DATA, part ? text[i] : '\r');
        }
    }
}

static void vga_newline(void)
{
    vga.column = 0;
    if (vga.row < VGA_ROWS - 1) {
        vga.row++;
        return;
    }
    for (unsigned int i = 0; i < VGA_COLUMNS * (VGA_ROWS - 1); i++)
        vga.text[i] = vga.text[i + VGA_COLUMNS];
    for (unsigned int i = 0; i < VGA_COLUMNS; i++)
        vga.text[VGA_COLUMNS * (VGA_ROWS - 1) + i] = VGA_COLOR | ' ';
}

static void vga_write(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n' || vga.column == VGA_COLUMNS)
            vga_newline();
        if (text[i] >= ' ')
            vga.text[vga.row * VGA_COLUMNS + vga.column++] = VGA_COLOR | (uint8_t)text[i];
    }
}

void arch_console_write(const char *text, size_t len)
{
    if (uart.base)
        uart_write(text, len);
    if (vga.on)
        vga_write(text, len);
}

static void uart_interrupt(void *arg)
{
    for (unsigned int i = 0; i < RX_BURST_MAX && (inb(uart.base + UART_LSR) & LSR_RX_READY); i++)
        console_receive((char)inb(uart.base + UART_DATA));
}

void serial_init_irq(void)
{
    int error;

    if (!uart.base)
        return;
    error = irq_request_isa(uart.irq, uart_interrupt, NULL);
    if (error)
        printk(LOG_WARNING, "serial: no interrupt %u for the console's input (error %d)", uart.irq, error);
    else
        outb(uart.base + UART_IER, IER_RX);
}
