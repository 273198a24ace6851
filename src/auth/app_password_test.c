/* Tests of app passwords, and of what is said of POP3 for domains, accounts and app passwords, in a directory of the
 * test's own. */
#include "auth/app_password.h"

#include "auth/pop3_settings.h"
#include "auth/test_directory.h"
#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static char folder[TEST_FOLDER_SIZE];
static struct directory *directory;
static struct directory_account alice, bob;

static void open_it(void)
{
	struct directory_settings settings = { .shards = 1, .max_alias_targets = 10, .max_alias_depth = 3 };
	assert_int_equal(0, directory_open(str_from_c(folder), &settings, 0, &directory, NULL));
}

static int set_up(void **state)
{
	assert_true(test_folder_make(folder, "directory"));
	open_it();
	assert_int_equal(0, directory_domain_add(directory, STR("example.test")));
	assert_int_equal(0, directory_account_add(directory, STR("alice@example.test"), STR("hash"), &alice));
	assert_int_equal(0, directory_account_add(directory, STR("bob@example.test"), STR("hash"), &bob));
	return 0;
}

static int tear_down(void **state)
{
	test_directory_remove(&directory, folder);
	return 0;
}

static uint64_t add(const struct directory_account *account, const char *name, uint32_t protocols, const char *password)
{
	uint64_t number = 0;
	assert_int_equal(0, app_password_add(directory, account, str_from_c(name), protocols, str_from_c(password), &number));
	assert_true(number > 0 && number <= INT64_MAX);
	return number;
}

static int check(const struct directory_account *account, const char *password, uint32_t protocol, uint64_t *number)
{
	int64_t last_used;
	return app_password_check(directory, &account->id, str_from_c(password), protocol, number, &last_used);
}

static void it_fits_its_account_and_its_protocols(void **state)
{
	uint64_t number = 0, phone = add(&alice, "phone", APP_PASSWORD_IMAP | APP_PASSWORD_SMTP, "aaaa-bbbb");
	assert_int_equal(0, check(&alice, "aaaa-bbbb", APP_PASSWORD_IMAP, &number));
	assert_true(number == phone);
	assert_int_equal(0, check(&alice, "aaaa-bbbb", APP_PASSWORD_SMTP, &number));
	assert_int_equal(ERR_NOT_FOUND, check(&alice, "aaaa-bbbb", APP_PASSWORD_POP3, &number));
	assert_int_equal(ERR_NOT_FOUND, check(&bob, "aaaa-bbbb", APP_PASSWORD_IMAP, &number));
	assert_int_equal(ERR_NOT_FOUND, check(&alice, "aaaa-bbbc", APP_PASSWORD_IMAP, &number));
	assert_int_equal(ERR_NOT_FOUND, check(&alice, "", APP_PASSWORD_IMAP, &number));
	add(&bob, "phone", APP_PASSWORD_ALL, "aaaa-bbbb"); /* the same for another account is another one */
	assert_int_equal(0, check(&bob, "aaaa-bbbb", APP_PASSWORD_POP3, &number));
	assert_true(number != phone);
}

static void what_is_removed_is_void_and_its_shard_is_told(void **state)
{
	struct directory_order orders[10];
	uint64_t number = 0, phone = add(&alice, "phone", APP_PASSWORD_ALL, "aaaa"), removed = 0;
	uint32_t n = 0;
	assert_int_equal(0, app_password_remove(directory, &alice, STR("phone"), &removed));
	assert_true(removed == phone);
	assert_int_equal(ERR_NOT_FOUND, check(&alice, "aaaa", APP_PASSWORD_IMAP, &number));
	assert_int_equal(ERR_NOT_FOUND, app_password_remove(directory, &alice, STR("phone"), &removed));
	directory_free(&directory);
	open_it();
	assert_int_equal(0, directory_orders(directory, 0, 0, COUNT_OF(orders), orders, &n));
	assert_int_equal(3, n); /* two accounts were made */
	assert_int_equal(DIRECTORY_FORGET_LOGIN, orders[2].kind);
	assert_true(orders[2].login == phone);
	assert_memory_equal(orders[2].account.bytes, alice.id.bytes, ACCOUNT_ID_SIZE);
	assert_int_equal(0, directory_order_done(directory, &orders[2]));
}

static int count(void *owner, const struct app_password *password)
{
	*(uint32_t *)owner += 1;
	return 0;
}

static void names_are_unique_and_bounded(void **state)
{
	char name[APP_PASSWORD_NAME_MAX + 1], password[16];
	uint64_t number;
	uint32_t n = 0;
	memset(name, 'n', sizeof name);
	add(&alice, "phone", APP_PASSWORD_ALL, "0");
	assert_int_equal(ERR_EXISTS, app_password_add(directory, &alice, STR("phone"), 1, STR("x"), &number));
	assert_int_equal(ERR_SYNTAX, app_password_add(directory, &alice, STR(""), 1, STR("x"), &number));
	assert_int_equal(ERR_SYNTAX, app_password_add(directory, &alice, str_of(name, sizeof name), 1, STR("x"), &number));
	assert_int_equal(ERR_SYNTAX, app_password_add(directory, &alice, STR("a\nb"), 1, STR("x"), &number));
	assert_int_equal(ERR_SYNTAX, app_password_add(directory, &alice, STR(" "), 1, STR("x"), &number));
	assert_int_equal(ERR_SYNTAX, app_password_add(directory, &alice, STR(" a"), 1, STR("x"), &number));
	assert_int_equal(ERR_SYNTAX, app_password_add(directory, &alice, STR("a "), 1, STR("x"), &number));
	assert_int_equal(ERR_SYNTAX, app_password_add(directory, &alice, STR("\xff"), 1, STR("x"), &number));
	assert_int_equal(ERR_LIMIT, app_password_add(directory, &alice, STR("a"), 0, STR("x"), &number));
	assert_int_equal(ERR_LIMIT, app_password_add(directory, &alice, STR("a"), 8, STR("x"), &number));
	for (int i = 1; i < APP_PASSWORDS_MAX; i++) {
		snprintf(name, sizeof name, "n%d", i);
		snprintf(password, sizeof password, "%d", i);
		add(&alice, name, APP_PASSWORD_ALL, password);
	}
	assert_int_equal(ERR_LIMIT, app_password_add(directory, &alice, STR("more"), 1, STR("x"), &number));
	assert_int_equal(0, app_password_list(directory, &alice.id, count, &n));
	assert_int_equal(APP_PASSWORDS_MAX, n);
	assert_int_equal(0, directory_account_remove(directory, STR("alice@example.test"), &alice));
	n = 0;
	assert_int_equal(0, app_password_list(directory, &alice.id, count, &n));
	assert_int_equal(0, n);
}

static int remember_use(void *owner, const struct app_password *password)
{
	*(int64_t *)owner = password->last_used;
	return 0;
}

static void the_last_use_is_kept(void **state)
{
	uint64_t number = add(&alice, "phone", APP_PASSWORD_ALL, "0");
	int64_t used = -1;
	assert_int_equal(0, app_password_list(directory, &alice.id, remember_use, &used));
	assert_int_equal(0, used);
	assert_int_equal(0, app_passwords_used(directory, &number, 1, 1700000000));
	assert_int_equal(0, app_password_list(directory, &alice.id, remember_use, &used));
	assert_int_equal(1700000000, used);
}

/* --- POP3 --- */

static struct pop3_choices choices;

static const struct pop3_choice SERVER = { POP3_MODE_CLIENT, 30, 0, 0, 5, "INBOX" };
static const struct pop3_choice NOTHING = { POP3_UNSET, POP3_UNSET, POP3_UNSET, POP3_UNSET, 0, "" };

static struct pop3_policy resolve(uint64_t app_password, enum pop3_level from[POP3_FROM_COUNT])
{
	struct pop3_place place = { POP3_APP_PASSWORD, STR("example.test"), &alice.id, app_password };
	struct pop3_policy policy;
	assert_int_equal(0, pop3_settings_read(directory, &place, &choices));
	choices.at[POP3_SERVER] = SERVER;
	pop3_choices_resolve(&choices, &policy, from);
	return policy;
}

static void say(enum pop3_level level, uint64_t app_password, struct pop3_choice choice)
{
	struct pop3_place place = { level, STR("example.test"), &alice.id, app_password };
	assert_int_equal(0, pop3_settings_write(directory, &place, &choice));
}

static void the_nearest_place_decides_each_thing(void **state)
{
	enum pop3_level from[POP3_FROM_COUNT];
	uint64_t phone = add(&alice, "phone", APP_PASSWORD_ALL, "0");
	struct pop3_choice choice = NOTHING;
	assert_int_equal(POP3_MODE_CLIENT, resolve(phone, from).mode);
	assert_int_equal(POP3_SERVER, from[POP3_FROM_MODE]);
	choice.mode = POP3_MODE_KEEP;
	choice.seen = 1;
	say(POP3_DOMAIN, 0, choice);
	choice = NOTHING;
	choice.days = 7;
	assert_int_equal(0, pop3_choice_set_mailbox(&choice, STR("inbox/Sub")));
	assert_true(str_eq(str_of(choice.mailbox, choice.mailbox_n), STR("INBOX/Sub")));
	assert_int_equal(0, pop3_choice_set_mailbox(&choice, STR("inboxes")));
	assert_true(str_eq(str_of(choice.mailbox, choice.mailbox_n), STR("inboxes")));
	assert_int_equal(0, pop3_choice_set_mailbox(&choice, STR("inbox")));
	say(POP3_ACCOUNT, 0, choice);
	choice = NOTHING;
	choice.mode = POP3_MODE_DAYS;
	say(POP3_APP_PASSWORD, phone, choice);
	struct pop3_policy policy = resolve(phone, from);
	assert_true(policy.mode == POP3_MODE_DAYS && policy.days == 7 && policy.seen && !policy.trash);
	assert_true(str_eq(policy.mailbox, STR("INBOX")));
	assert_true(from[POP3_FROM_MODE] == POP3_APP_PASSWORD && from[POP3_FROM_DAYS] == POP3_ACCOUNT &&
		    from[POP3_FROM_SEEN] == POP3_DOMAIN && from[POP3_FROM_TRASH] == POP3_SERVER &&
		    from[POP3_FROM_MAILBOX] == POP3_ACCOUNT);
	assert_int_equal(POP3_MODE_KEEP, resolve(0, from).mode);
	say(POP3_DOMAIN, 0, NOTHING);
	assert_int_equal(POP3_MODE_CLIENT, resolve(0, from).mode);
	uint64_t removed;
	assert_int_equal(0, app_password_remove(directory, &alice, STR("phone"), &removed));
	assert_int_equal(POP3_MODE_CLIENT, resolve(phone, from).mode);
}

static void assert_expires(enum pop3_mode mode, uint16_t server_days, uint32_t days, bool differs)
{
	struct pop3_expire expire;
	assert_int_equal(0, pop3_settings_expire(directory, mode, server_days, &expire));
	assert_int_equal(days, expire.days);
	assert_int_equal(differs, expire.differs);
}

static void expire_is_never_larger_than_anybodys(void **state)
{
	struct pop3_choice choice = NOTHING;
	assert_expires(POP3_MODE_CLIENT, 30, POP3_EXPIRE_NEVER, false);
	assert_expires(POP3_MODE_DAYS, 30, 30, false);
	assert_expires(POP3_MODE_DELETE, 30, 0, false);
	choice.mode = POP3_MODE_DAYS;
	say(POP3_ACCOUNT, 0, choice);
	assert_expires(POP3_MODE_CLIENT, 30, 30, true);
	choice = NOTHING;
	choice.days = 10; /* of which nobody knows yet who will have it */
	say(POP3_DOMAIN, 0, choice);
	assert_expires(POP3_MODE_CLIENT, 30, 10, true);
	choice.mode = POP3_MODE_DELETE;
	say(POP3_DOMAIN, 0, choice);
	assert_expires(POP3_MODE_KEEP, 30, 0, true);
	say(POP3_DOMAIN, 0, NOTHING);
	say(POP3_ACCOUNT, 0, NOTHING);
	assert_expires(POP3_MODE_KEEP, 30, POP3_EXPIRE_NEVER, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_fits_its_account_and_its_protocols, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_removed_is_void_and_its_shard_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_are_unique_and_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_last_use_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_nearest_place_decides_each_thing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(expire_is_never_larger_than_anybodys, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
