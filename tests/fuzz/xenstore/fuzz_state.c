/*
 * State files. The first byte chooses: raw bytes through the whole reader (header, frames, checksums), or
 * records that the checksums of a real file would vouch for, straight into the loader.
 */
#include "fuzz_server.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct journal_stats st;
    struct server s;

    if (len < 1) {
        return 0;
    }
    fuzz_server_begin(&s);
    if (data[0] & 1) {
        journal_read(data + 1, len - 1, state_load_record, &s, &st);
    } else {
        data++;
        len--;
        while (len > 3) {
            size_t n = (size_t)data[1] | (size_t)data[2] << 8;

            n = n < len - 3 ? n : len - 3;
            state_load_record(&s, (enum record)(data[0] % (REC_COUNTERS + 2)), data + 3, n);
            data += 3 + n;
            len -= 3 + n;
        }
    }
    fuzz_server_end(&s);
    return 0;
}
