/* The wire protocol, under the name that programs on libxenstore know: the ABI's header. */
#include <public/io/xs_wire.h>
