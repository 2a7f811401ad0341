/* The ring of the back ends: what it refuses, that it waits, and what it takes for pinned memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../pv-drivers/common/uring.h"

static struct uring ring;
static int results[4];
static unsigned ended;

static void done(struct uring_op *op, int result)
{
    results[ended++] = result;
}

static struct uring_op operation = {done};

static int set_up(void **state)
{
    ended = 0;
    return uring_open(&ring, NULL);
}

static int tear_down(void **state)
{
    uring_close(&ring);
    return 0;
}

static void what_opens_or_connects_is_refused(void **state)
{
    struct io_uring_sqe *sqe = uring_sqe(&ring);
    io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
    uring_own(sqe, &operation, 0);
    uring_run(&ring, -1);
    sqe = uring_sqe(&ring);
    io_uring_prep_socket(sqe, AF_UNIX, SOCK_STREAM, 0, 0);
    uring_own(sqe, &operation, 0);
    uring_run(&ring, -1);
    assert_int_equal(ended, 2);
    assert_int_equal(results[0], -EACCES);
    assert_int_equal(results[1], -EACCES);
}

/* Linked reads take what comes one after the other, each when it is there; the descriptor need not block. */
static void linked_reads_wait_in_turn(void **state)
{
    char bytes[2][8] = {{0}};
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
    struct io_uring_sqe *sqe = uring_chain(&ring, 2);
    io_uring_prep_read(sqe, ends[0], bytes[0], sizeof(bytes[0]), 0);
    uring_own(sqe, &operation, IOSQE_IO_HARDLINK);
    sqe = uring_sqe(&ring);
    io_uring_prep_read(sqe, ends[0], bytes[1], sizeof(bytes[1]), 0);
    uring_own(sqe, &operation, 0);
    uring_run(&ring, 0);
    assert_int_equal(ended, 0);
    assert_int_equal(write(ends[1], "one", 3), 3);
    uring_run(&ring, -1);
    uring_run(&ring, 0);
    assert_int_equal(ended, 1);
    assert_int_equal(write(ends[1], "two", 3), 3);
    uring_run(&ring, -1);
    assert_int_equal(ended, 2);
    assert_string_equal(bytes[0], "one");
    assert_string_equal(bytes[1], "two");
    close(ends[0]);
    close(ends[1]);
}

static void nothing_to_do_ends_with_the_time(void **state)
{
    uring_run(&ring, 0);
    uring_run(&ring, 1);
    assert_int_equal(ended, 0);
}

static void pinned_memory_is_known(void **state)
{
    struct uring u;
    char *memory = aligned_alloc(4096, 8192);
    struct iovec fixed = {memory, 8192};
    assert_int_equal(uring_open(&u, &fixed), 0);
    assert_true(uring_is_fixed(&u, &(struct iovec){memory, 8192}));
    assert_true(uring_is_fixed(&u, &(struct iovec){memory + 4096, 4096}));
    assert_false(uring_is_fixed(&u, &(struct iovec){memory + 4096, 4097}));
    assert_false(uring_is_fixed(&u, &(struct iovec){memory - 1, 1}));
    assert_false(uring_is_fixed(&u, &(struct iovec){memory + 8192, 1}));
    assert_false(uring_is_fixed(&ring, &(struct iovec){memory, 1}));
    uring_close(&u);
    free(memory);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_opens_or_connects_is_refused),
        TEST(linked_reads_wait_in_turn),
        TEST(nothing_to_do_ends_with_the_time),
        TEST(pinned_memory_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
