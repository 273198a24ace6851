/* pop3_settings.c: the table pop3_choice of the directory, and which of its rows holds. Owns nothing. */
#include "auth/pop3_settings.h"

#include "auth/directory_private.h"
#include "base/checked.h"
#include "syntax/imap_name.h"

static const struct pop3_choice NOTHING = { .mode = POP3_UNSET, .days = POP3_UNSET, .trash = POP3_UNSET,
					    .seen = POP3_UNSET };

void pop3_choices_clear(struct pop3_choices *choices)
{
	for (size_t i = 0; i < POP3_LEVEL_COUNT; i++)
		choices->at[i] = NOTHING;
}

int pop3_choice_set_mailbox(struct pop3_choice *choice, struct str name)
{
	bool control = false;
	for (size_t i = 0; i < name.n; i++)
		control |= (unsigned char)name.p[i] < ' ' || name.p[i] == 127;
	if (name.n == 0 || name.n > sizeof choice->mailbox || control || !str_is_utf8(name))
		return ERR_SYNTAX;
	memcpy(choice->mailbox, name.p, name.n);
	imap_name_normalise(choice->mailbox, name.n);
	choice->mailbox_n = name.n;
	return 0;
}

/* The nearest level whose value, an int at `offset` of struct pop3_choice, is set. */
static int nearest(const struct pop3_choices *choices, size_t offset, enum pop3_level *from)
{
	enum pop3_level level = POP3_LEVEL_COUNT;
	int value = POP3_UNSET;
	while (value == POP3_UNSET && level > POP3_SERVER) {
		level--;
		memcpy(&value, (const char *)&choices->at[level] + offset, sizeof value);
	}
	*from = level;
	return value;
}

void pop3_choices_resolve(const struct pop3_choices *choices, struct pop3_policy *policy,
			  enum pop3_level from[POP3_FROM_COUNT])
{
	enum pop3_level level = POP3_LEVEL_COUNT - 1;
	policy->mode = (enum pop3_mode)nearest(choices, offsetof(struct pop3_choice, mode), &from[POP3_FROM_MODE]);
	policy->days = (uint16_t)nearest(choices, offsetof(struct pop3_choice, days), &from[POP3_FROM_DAYS]);
	policy->trash = nearest(choices, offsetof(struct pop3_choice, trash), &from[POP3_FROM_TRASH]) == 1;
	policy->seen = nearest(choices, offsetof(struct pop3_choice, seen), &from[POP3_FROM_SEEN]) == 1;
	while (choices->at[level].mailbox_n == 0 && level > POP3_SERVER)
		level--;
	policy->mailbox = str_of(choices->at[level].mailbox, choices->at[level].mailbox_n);
	from[POP3_FROM_MAILBOX] = level;
}

/* --- the table --- */

static int column(sqlite3_stmt *stmt, int index)
{
	return db_column_is_null(stmt, index) ? POP3_UNSET : (int)db_column_int(stmt, index);
}

/* A row that somebody else wrote must not become an enum that there is not. */
static int read_row(sqlite3_stmt *stmt, struct pop3_choices *out)
{
	int64_t level = db_column_int(stmt, 0);
	struct pop3_choice choice = { column(stmt, 1), column(stmt, 2), column(stmt, 3), column(stmt, 4), 0, "" };
	struct str mailbox = db_column_text(stmt, 5);
	if (level <= POP3_SERVER || level >= POP3_LEVEL_COUNT || choice.mode < POP3_UNSET || choice.mode >= POP3_MODE_COUNT ||
	    choice.days < POP3_UNSET || choice.days == 0 || choice.days > POP3_DAYS_MAX ||
	    (mailbox.n > 0 && pop3_choice_set_mailbox(&choice, mailbox) < 0))
		return ERR_CORRUPT;
	out->at[level] = choice;
	return 0;
}

static void bind_place(sqlite3_stmt *stmt, const struct pop3_place *place, bool all)
{
	bool domain = all || place->level == POP3_DOMAIN, account = all || place->level == POP3_ACCOUNT;
	for (int i = 1; i <= 3; i++)
		db_bind_null(stmt, i);
	if (domain)
		db_bind_text(stmt, 1, place->domain);
	if (account && place->account)
		db_bind_blob(stmt, 2, str_of((const char *)place->account->bytes, ACCOUNT_ID_SIZE));
	if ((all || place->level == POP3_APP_PASSWORD) && place->app_password)
		db_bind_int(stmt, 3, (int64_t)place->app_password);
}

int pop3_settings_read(struct directory *directory, const struct pop3_place *place, struct pop3_choices *out)
{
	USING(stmt, directory, pop3_read);
	int result;
	bind_place(stmt, place, true);
	for (size_t i = POP3_DOMAIN; i < POP3_LEVEL_COUNT; i++)
		out->at[i] = NOTHING;
	while ((result = db_step(stmt)) == DB_ROW) {
		result = read_row(stmt, out);
		if (result)
			return result;
	}
	return result;
}

static void bind_value(sqlite3_stmt *stmt, int index, int value)
{
	if (value == POP3_UNSET)
		db_bind_null(stmt, index);
	else
		db_bind_int(stmt, index, value);
}

static int replace(struct directory *directory, const struct pop3_place *place, const struct pop3_choice *choice)
{
	USING(old, directory, pop3_delete);
	bind_place(old, place, false);
	int err = db_run(old);
	bool says_nothing = choice->mode == POP3_UNSET && choice->days == POP3_UNSET && choice->trash == POP3_UNSET &&
			    choice->seen == POP3_UNSET && choice->mailbox_n == 0;
	if (err || says_nothing)
		return err;
	USING(stmt, directory, pop3_insert);
	bind_place(stmt, place, false);
	bind_value(stmt, 4, choice->mode);
	bind_value(stmt, 5, choice->days);
	bind_value(stmt, 6, choice->trash);
	bind_value(stmt, 7, choice->seen);
	if (choice->mailbox_n)
		db_bind_text(stmt, 8, str_of(choice->mailbox, choice->mailbox_n));
	else
		db_bind_null(stmt, 8);
	return db_run(stmt);
}

int pop3_settings_write(struct directory *directory, const struct pop3_place *place, const struct pop3_choice *choice)
{
	int err = db_begin(&directory->db);
	return err ? err : directory_finish(directory, replace(directory, place, choice));
}

int pop3_settings_expire(struct directory *directory, enum pop3_mode mode, uint16_t days, struct pop3_expire *out)
{
	USING(stmt, directory, pop3_expire);
	int row = db_step(stmt);
	if (row != DB_ROW)
		return row == DB_DONE ? ERR_CORRUPT : row;
	bool deletes = db_column_int(stmt, 0) != 0, some_days = db_column_int(stmt, 1) != 0;
	bool says_mode = db_column_int(stmt, 2) != 0, says_days = !db_column_is_null(stmt, 3);
	uint32_t smallest = says_days ? (uint32_t)db_column_int(stmt, 3) : POP3_EXPIRE_NEVER;
	uint32_t server = pop3_policy_expire(mode, days);
	*out = (struct pop3_expire){ server, says_mode || (mode == POP3_MODE_DAYS && says_days) };
	if (some_days || mode == POP3_MODE_DAYS)
		out->days = MIN(out->days, MIN((uint32_t)days, smallest));
	if (deletes)
		out->days = 0;
	out->differs &= out->days != POP3_EXPIRE_NEVER;
	return 0;
}
