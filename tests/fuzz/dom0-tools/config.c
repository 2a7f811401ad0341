/* Configurations from hostile hands: read, check, print in every format, read that again. */
#include <stdlib.h>
#include <string.h>
#include "dom0-tools/config/doc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *(*const writers[])(const struct doc *) = {write_xlcfg, write_xml, write_json};
    struct doc *doc = doc_read_text("fuzz", (const char *)data, size);
    struct bh_config config;
    bool good;

    if (!doc)
        return 0;
    good = doc_check(doc, &config);
    bh_config_free(&config);
    for (unsigned int i = 0; good && i < 3; i++) {
        char *text = writers[i](doc);
        struct doc *back = text ? doc_read_text("back", text, strlen(text)) : NULL;
        bool still = back && doc_check(back, &config);

        /* What was good stays good, and the same, in every format. */
        if (!still || !value_equal(doc->root, back->root))
            abort();
        bh_config_free(&config);
        doc_free(back);
        free(text);
    }
    doc_free(doc);
    return 0;
}
