/* status_list.c: counters of `mansio status` that come in lists. Pure; both go through role_status_add. */
#include "proc/role.h"

#include "syntax/imap.h"
#include "syntax/pop3.h"

void role_status_services(struct buf *out, const uint64_t accepted[SERVICE_COUNT])
{
	for (enum service service = 0; service < SERVICE_COUNT; service++) {
		char key[ROLE_STATUS_KEY_MAX + 1];
		int n = snprintf(key, sizeof key, "accepted_%.*s", STR_ARG(service_name(service)));
		if (accepted[service] > 0)
			role_status_add(out, str_of(key, (size_t)n), accepted[service]);
	}
}

void role_status_command(struct buf *out, struct str protocol, struct str command, uint64_t n)
{
	char key[ROLE_STATUS_KEY_MAX + 1];
	if (n == 0)
		return;
	size_t length = (size_t)snprintf(key, sizeof key, "commands_%.*s_%.*s", STR_ARG(str_first(protocol, 16)),
	                                 STR_ARG(str_first(command, 32)));
	for (size_t i = 0; i < length; i++)
		key[i] = ascii_lower(key[i]);
	role_status_add(out, str_of(key, length), n);
}

void role_status_imap(struct buf *out, const uint64_t *commands)
{
	for (enum imap_command_kind kind = 0; kind < IMAP_COMMAND_COUNT; kind++)
		role_status_command(out, STR("imap"), imap_command_name(kind), commands[kind]);
}

void role_status_pop3(struct buf *out, const uint64_t *commands)
{
	for (unsigned verb = POP3_UNKNOWN + 1; verb < POP3_VERB_COUNT; verb++)
		role_status_command(out, STR("pop3"), pop3_verb_name((enum pop3_verb)verb), commands[verb]);
}
