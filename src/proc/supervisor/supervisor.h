/* supervisor.h: `mansio serve`. */
#ifndef PROC_SUPERVISOR_SUPERVISOR_H
#define PROC_SUPERVISOR_SUPERVISOR_H

/* Runs the server in the foreground until SIGTERM or SIGINT; argv[0] is "serve". Exit code: 0 after a clean stop, 64
 * wrong arguments, 78 wrong configuration, 1 when it could not start. */
int supervisor_main(int argc, char **argv);

#endif
