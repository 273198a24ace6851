/* damage.c: damage as JSON (damage.h). Pure. */
#include "proc/damage.h"

#include "base/json.h"
#include "proc/store_folder.h"

#define MAILBOX_SHOWN 200 /* bytes of a name */

void damage_file(uint16_t shard, const struct check_damage *damage, char out[DAMAGE_FILE_MAX])
{
	if (damage->segment != 0)
		snprintf(out, DAMAGE_FILE_MAX, STORE_FOLDER_SHARDS "/%02u/body/%06u.seg", shard, damage->segment);
	else
		snprintf(out, DAMAGE_FILE_MAX, STORE_FOLDER_SHARDS "/%02u/index.db", shard);
}

void damage_account(const struct check_damage *damage, char out[DAMAGE_ACCOUNT_MAX])
{
	static const struct account_id none;
	out[0] = '\0';
	if (memcmp(&damage->account, &none, sizeof none) == 0)
		return;
	account_id_print(&damage->account, out);
}

void damage_print(const char *file, const struct check_damage *damage, struct buf *json)
{
	char id[DAMAGE_ACCOUNT_MAX];
	damage_account(damage, id);
	json_begin_object(json);
	json_field_string(json, "account", str_from_c(id));
	json_field_u64(json, "message", damage->message);
	json_field_string(json, "file", str_from_c(file));
	json_field_u64(json, "segment", damage->segment);
	json_field_u64(json, "offset", damage->offset);
	json_field_string(json, "table", str_from_c(damage->table ? damage->table : ""));
	json_field_string(json, "row", str_from_c(damage->row));
	json_field_string(json, "mailbox", str_first(damage->mailbox, MAILBOX_SHOWN));
	json_field_u64(json, "uid", damage->uid);
	json_field_bool(json, "note", damage->is_note);
	json_field_string(json, "problem", str_from_c(damage->problem));
	json_end_object(json);
}
