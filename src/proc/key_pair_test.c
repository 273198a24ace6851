/* key_pair_test.c: what is said of certificates and keys, with files made on the spot and a clock that the test holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/test_folder.h"
#include "loop/test_certificate.h"
#include "proc/key_pair.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY 86400

struct files {
	char folder[TEST_FOLDER_SIZE], certificate[96], key[96];
	struct conf conf;
	char told[KEY_PAIR_TEXT_MAX]; /* the last problem */
	enum conf_setting setting;
	int problems;
};

static void write_text(const char *name, struct str text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(file_write(fd, text), 0);
	close(fd);
}

static void write_pair(const struct files *f, EVP_PKEY *pair, long begin, long end, const char *passphrase)
{
	struct buf certificate, key;
	test_certificate_of(pair, begin, end, passphrase, &certificate, &key);
	write_text(f->certificate, buf_str(&certificate));
	write_text(f->key, buf_str(&key));
	buf_free(&certificate);
	buf_free(&key);
}

/* A chain: the certificate, and its first n bytes some times more. */
static void add_to(const struct files *f, const struct buf *certificate, size_t n, int times)
{
	struct buf chain = BUF_INIT(65536);
	buf_add(&chain, buf_str(certificate));
	for (int i = 0; i < times; i++)
		buf_add(&chain, str_first(buf_str(certificate), n));
	write_text(f->certificate, buf_str(&chain));
	buf_free(&chain);
}

static void set_up(struct files *f)
{
	*f = (struct files){ .problems = 0 };
	assert_true(test_folder_make(f->folder, "key-pair"));
	snprintf(f->certificate, sizeof f->certificate, "%s/c", f->folder);
	snprintf(f->key, sizeof f->key, "%s/k", f->folder);
	conf_defaults(&f->conf);
	f->conf.tls.certificate = str_from_c(f->certificate);
	f->conf.tls.key = str_from_c(f->key);
}

static void tear_down(struct files *f)
{
	unlink(f->certificate);
	unlink(f->key);
	rmdir(f->folder);
	conf_free(&f->conf);
}

static void on_problem(void *owner, enum conf_setting setting, struct str sentence)
{
	struct files *f = owner;
	snprintf(f->told, sizeof f->told, "%.*s", STR_ARG(sentence));
	f->setting = setting;
	f->problems++;
}

static void is_refused(struct files *f, enum conf_setting setting, const char *words)
{
	struct key_pair pair;
	f->problems = 0;
	assert_int_equal(key_pair_read(&f->conf, on_problem, f, &pair), ERR_CONFIG);
	assert_int_equal(f->problems, 1);
	assert_int_equal(f->setting, setting);
	if (!strstr(f->told, words))
		fail_msg("\"%s\" lacks \"%s\"", f->told, words);
}

static void what_cannot_be_used_is_said_as_it_is(void **state)
{
	struct files f;
	struct buf certificate, key;
	struct key_pair pair;
	set_up(&f);
	write_pair(&f, EVP_RSA_gen(1024), 0, DAY, NULL);
	is_refused(&f, CONF_tls_certificate, "OpenSSL refuses the certificate");
	assert_non_null(strstr(f.told, "ee key too small"));
	write_pair(&f, EVP_EC_gen("P-256"), 0, DAY, "secret");
	is_refused(&f, CONF_tls_key, "has a passphrase");
	write_text(f.key, STR("-----BEGIN\n"));
	is_refused(&f, CONF_tls_key, "/k holds no private key");
	test_certificate(&certificate, &key);
	write_text(f.key, buf_str(&key));
	is_refused(&f, CONF_tls_certificate, "does not belong to the certificate");
	add_to(&f, &certificate, certificate.n / 2, 1);
	is_refused(&f, CONF_tls_certificate, "damaged behind its first certificate");
	write_text(f.certificate, buf_str(&key));
	is_refused(&f, CONF_tls_certificate, "/c holds no certificate");
	add_to(&f, &certificate, certificate.n, 17);
	is_refused(&f, CONF_tls_certificate, "more than 16 certificates");
	buf_free(&certificate);
	buf_free(&key);
	f.conf.tls.certificate = STR("");
	assert_int_equal(key_pair_read(&f.conf, on_problem, &f, &pair), 0);
	assert_int_equal(pair.certificate.n, 0);
	tear_down(&f);
}

/* Nobody waits for the other end of a pipe: the supervisor would stand still. */
static void what_is_no_file_is_refused_at_once(void **state)
{
	struct files f;
	struct key_pair pair;
	set_up(&f);
	write_pair(&f, EVP_EC_gen("P-256"), 0, DAY, NULL);
	unlink(f.key);
	assert_int_equal(mkfifo(f.key, 0600), 0);
	is_refused(&f, CONF_tls_key, "/k: a folder, a pipe");
	unlink(f.certificate);
	f.problems = 0;
	assert_int_equal(key_pair_read(&f.conf, on_problem, &f, &pair), ERR_CONFIG);
	assert_int_equal(f.problems, 2);
	f.conf.tls.certificate = str_from_c(f.folder);
	f.problems = 0;
	assert_int_equal(key_pair_read(&f.conf, on_problem, &f, &pair), ERR_CONFIG);
	assert_int_equal(f.problems, 2);
	tear_down(&f);
}

static void is_warned(const struct key_pair *pair, int64_t at, const char *words)
{
	struct buf sentence = BUF_INIT(KEY_PAIR_TEXT_MAX);
	bool any = key_pair_warning(pair, STR("/c"), at, &sentence);
	assert_int_equal(any, words != NULL);
	assert_int_equal(sentence.n > 0, any);
	if (words && str_find(buf_str(&sentence), str_from_c(words)) < 0)
		fail_msg("\"%.*s\" lacks \"%s\"", STR_ARG(buf_str(&sentence)), words);
	buf_free(&sentence);
}

static void dates_are_told_before_clients_refuse_them(void **state)
{
	struct files f;
	struct key_pair pair;
	set_up(&f);
	write_pair(&f, EVP_EC_gen("P-256"), -400 * DAY, -30 * DAY, NULL);
	int64_t now = clock_wall_seconds();
	assert_int_equal(key_pair_read(&f.conf, on_problem, &f, &pair), 0); /* it can be used: the clock may be wrong */
	assert_true(pair.not_after >= now - 30 * DAY - 60 && pair.not_after <= now - 30 * DAY + 60);
	assert_int_equal(pair.not_after - pair.not_before, 370 * DAY);
	is_warned(&pair, now, "the certificate in /c ended at ");
	is_warned(&pair, pair.not_after + 1, " UTC: clients that verify it refuse");
	is_warned(&pair, pair.not_after, " ends at ");
	is_warned(&pair, pair.not_after - 7 * DAY + 1, " ends at ");
	is_warned(&pair, pair.not_after - 7 * DAY, NULL);
	is_warned(&pair, pair.not_before, NULL);
	is_warned(&pair, pair.not_before - 1, " is not valid before ");
	is_warned(&pair, INT64_MIN, " is not valid before ");
	is_warned(&pair, INT64_MAX, " ended at ");
	pair.not_after = pair.not_before + 6 * DAY; /* some are made for so few days: not always a warning */
	is_warned(&pair, pair.not_after - 2 * DAY, NULL);
	is_warned(&pair, pair.not_after - 2 * DAY + 1, " ends at ");
	pair.not_before = 0;
	pair.not_after = 1700000000;
	is_warned(&pair, 1700000001, " ended at 2023-11-14 22:13 UTC: ");
	key_pair_free(&pair);
	is_warned(&pair, 0, NULL);
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cannot_be_used_is_said_as_it_is),
		cmocka_unit_test(what_is_no_file_is_refused_at_once),
		cmocka_unit_test(dates_are_told_before_clients_refuse_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
