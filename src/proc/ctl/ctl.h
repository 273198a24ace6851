/* ctl.h: the command line, `mansio account add …` and its like: everything that is not `mansio serve`. */
#ifndef PROC_CTL_CTL_H
#define PROC_CTL_CTL_H

/* Runs one command; the result is the exit code (mansio(1), EXIT STATUS). */
int ctl_main(int argc, char **argv);

#endif
