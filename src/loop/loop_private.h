/* loop_private.h: what the files of loop/ share and nobody else sees. */
#ifndef LOOP_LOOP_PRIVATE_H
#define LOOP_LOOP_PRIVATE_H

#include "loop/loop.h"

void loop_count_cold_read(struct loop *loop);

struct loop_wheel *loop_wheel(struct loop *loop);
struct loop_wheel *loop_wheel_new(struct loop *loop);
void loop_wheel_free(struct loop_wheel **wheel);

#endif
