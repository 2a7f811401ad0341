/* Any bytes as a qcow2 header: what is accepted names a backing file that is a proper string. */
#include <stdlib.h>
#include <string.h>

#include "../../../pv-drivers/blkback/qcow2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qcow2_head head;
    uint8_t *copy = malloc(size + !size);
    memcpy(copy, data, size);
    if (qcow2_parse(copy, size, &head) == NULL && head.has_backing &&
        (head.backing[0] == '\0' || memchr(head.backing, '\0', sizeof(head.backing)) == NULL))
        abort();
    free(copy);
    return 0;
}
