/* commands.c: who answers which command, and what may be told before its tagged reply. */
#include "proto/imap/session_private.h"

static const struct imap_handler handlers[IMAP_COMMAND_COUNT] = {
	[IMAP_COMMAND_CAPABILITY] = { IMAP_RUN, IMAP_NOTICES_ALL, imap_cmd_capability },
	[IMAP_COMMAND_NOOP] = { IMAP_RUN, IMAP_NOTICES_ALL, imap_cmd_noop },
	[IMAP_COMMAND_LOGOUT] = { IMAP_RUN, IMAP_NOTICES_NONE, imap_cmd_logout },
	[IMAP_COMMAND_ID] = { IMAP_RUN, IMAP_NOTICES_ALL, imap_cmd_id },
	[IMAP_COMMAND_ENABLE] = { IMAP_RUN, IMAP_NOTICES_NONE, imap_cmd_enable },
	[IMAP_COMMAND_SELECT] = { IMAP_STREAM, IMAP_NOTICES_NONE, imap_cmd_select, imap_select_step, imap_close_task },
	[IMAP_COMMAND_EXAMINE] = { IMAP_STREAM, IMAP_NOTICES_NONE, imap_cmd_select, imap_select_step, imap_close_task },
	[IMAP_COMMAND_CREATE] = { IMAP_ASK, IMAP_NOTICES_ALL, imap_cmd_create, imap_create_step },
	[IMAP_COMMAND_DELETE] = { IMAP_ASK, IMAP_NOTICES_ALL, imap_cmd_delete, imap_delete_step, imap_delete_end },
	[IMAP_COMMAND_RENAME] = { IMAP_ASK, IMAP_NOTICES_ALL, imap_cmd_rename, imap_rename_step, imap_rename_end },
	[IMAP_COMMAND_SUBSCRIBE] = { IMAP_ASK, IMAP_NOTICES_ALL, imap_cmd_subscribe },
	[IMAP_COMMAND_UNSUBSCRIBE] = { IMAP_ASK, IMAP_NOTICES_ALL, imap_cmd_subscribe },
	[IMAP_COMMAND_LIST] = { IMAP_STREAM, IMAP_NOTICES_ALL, imap_cmd_list, imap_list_step, imap_list_end },
	[IMAP_COMMAND_LSUB] = { IMAP_STREAM, IMAP_NOTICES_ALL, imap_cmd_list, imap_list_step, imap_list_end },
	[IMAP_COMMAND_STATUS] = { IMAP_STREAM, IMAP_NOTICES_ALL, imap_cmd_status, imap_status_step, imap_close_task },
	[IMAP_COMMAND_APPEND] = { IMAP_ASK, IMAP_NOTICES_ALL, imap_cmd_append, imap_append_step, imap_append_end },
	[IMAP_COMMAND_NAMESPACE] = { IMAP_RUN, IMAP_NOTICES_ALL, imap_cmd_namespace },
	[IMAP_COMMAND_GETQUOTA] = { IMAP_RUN, IMAP_NOTICES_ALL, imap_cmd_getquota },
	[IMAP_COMMAND_GETQUOTAROOT] = { IMAP_RUN, IMAP_NOTICES_ALL, imap_cmd_getquotaroot },
	[IMAP_COMMAND_IDLE] = { IMAP_STREAM, IMAP_NOTICES_ALL, imap_cmd_idle },
	[IMAP_COMMAND_CHECK] = { IMAP_RUN, IMAP_NOTICES_ALL, imap_cmd_check },
	[IMAP_COMMAND_CLOSE] = { IMAP_ASK, IMAP_NOTICES_NONE, imap_cmd_close, imap_expunge_step, imap_expunge_end },
	[IMAP_COMMAND_UNSELECT] = { IMAP_RUN, IMAP_NOTICES_NONE, imap_cmd_unselect },
	[IMAP_COMMAND_EXPUNGE] = { IMAP_ASK, IMAP_NOTICES_ALL, imap_cmd_expunge, imap_expunge_step, imap_expunge_end },
	[IMAP_COMMAND_SEARCH] = { IMAP_STREAM, IMAP_NOTICES_BUT_EXPUNGE, imap_cmd_search, imap_search_step,
	                          imap_search_end },
	[IMAP_COMMAND_SORT] = { IMAP_STREAM, IMAP_NOTICES_BUT_EXPUNGE, imap_cmd_search, imap_search_step, imap_search_end },
	[IMAP_COMMAND_THREAD] = { IMAP_STREAM, IMAP_NOTICES_BUT_EXPUNGE, imap_cmd_search, imap_search_step, imap_search_end },
	[IMAP_COMMAND_FETCH] = { IMAP_STREAM, IMAP_NOTICES_BUT_EXPUNGE, imap_cmd_fetch, imap_fetch_step, imap_fetch_end },
	[IMAP_COMMAND_STORE] = { IMAP_ASK, IMAP_NOTICES_BUT_EXPUNGE, imap_cmd_store, imap_store_step, imap_store_end },
	[IMAP_COMMAND_COPY] = { IMAP_ASK, IMAP_NOTICES_ALL, imap_cmd_copy, imap_copy_step, imap_copy_end },
	[IMAP_COMMAND_MOVE] = { IMAP_ASK, IMAP_NOTICES_ALL, imap_cmd_copy, imap_move_step, imap_move_end },
};

const struct imap_handler imap_store_answer = { IMAP_ASK, IMAP_NOTICES_BUT_EXPUNGE, imap_cmd_store, imap_fetch_step,
	                                        imap_fetch_end };

const struct imap_handler imap_sort_answer = { IMAP_STREAM, IMAP_NOTICES_BUT_EXPUNGE, imap_cmd_search, imap_sort_step,
	                                       imap_sort_end };

/* What changes while it is under way is told too: its last modseqs make a client believe that it knows all before them. */
const struct imap_handler imap_select_answer = { IMAP_STREAM, IMAP_NOTICES_BUT_EXPUNGE, imap_cmd_select, imap_fetch_step,
	                                         imap_fetch_end };

const struct imap_handler *imap_handler_of(enum imap_command_kind kind)
{
	const struct imap_handler *handler = &handlers[kind];
	return handler->begin ? handler : NULL;
}
