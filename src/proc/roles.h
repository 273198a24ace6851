/* roles.h: where each role's process begins. Called by main.c as `mansio role NAME`; the result is the exit code. */
#ifndef PROC_ROLES_H
#define PROC_ROLES_H

int access_main(void);
int smtp_main(void);
int auth_main(void);
int authwork_main(void);
int shard_main(void);

#endif
