/* What every cmocka test of the hypervisor includes first. */
#ifndef FAKE_TEST_H
#define FAKE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#undef fail /* ours: bh/cause.h */
#include "fake.h"

#endif
