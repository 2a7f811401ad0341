/* Manual pages on standard output. */
#ifndef BH_CLI_MANUAL_H
#define BH_CLI_MANUAL_H

#include "cli.h"

void manual_commands(void);
void manual_config(void);

#endif
