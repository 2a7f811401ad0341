/* What our daemons have in common: one of each, in the background once ready, a log. */
#ifndef BH_LIB_DAEMON_H
#define BH_LIB_DAEMON_H

#include <stdbool.h>

/* Takes RUN_DIR/NAME.lock; exits with 0 when another holds it. Goes to the background unless told not to: the
 * first process waits for daemon_ready() and then exits. */
void daemon_start(const char *name, bool foreground);
void daemon_ready(void);
/* In a child process: lets go of the daemon's lock, which would outlive the daemon otherwise. */
void daemon_child(void);
/* One line with the time, to LOG_DIR/NAME.log (or stderr in the foreground). */
void daemon_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *daemon_log_dir(void);

#endif
