/* Old name of xenstore.h. */
#include <xenstore.h>
