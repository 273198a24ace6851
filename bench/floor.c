/* floor.c: what the kernel, loopback and the disk cost for the same load: answers load.c with bytes made before, and
 * does of a mail server's work only what none can do without: it takes the bytes, makes them durable before it says so,
 * and sends as many as ours would. A measuring device, not a server: no accounts, no rights, no answer to anything that
 * load.c does not send; the first surprise ends it.
 *
 * In one process it is what any server pays here. With --rooms (floor_rooms.c), by the processes that Mansio has and
 * the messages between them, it is what any server of that structure pays; what Mansio costs beyond is its own work.
 *
 * A floor is of a machine and an hour. On a virtual machine whose memory the host backs lazily, writing into pages that
 * are new in the page cache was seen to be most of what a delivery costs: copy_folio_from_iter_atomic alone had 28 % of
 * all CPU during LMTP deliveries. So bench/compare measures it in turn with the servers. */
#include "floor.h"

#include "base/checked.h"
#include "base/file.h"

#include <fcntl.h>
#include <getopt.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>

#define MESSAGES_MAX 1000000
#define PEM_MAX      (64 * 1024)

struct options {
	struct house house;
	uint64_t messages;
	const char *certificate, *key;
};

static uint64_t number_option(const char *text, uint64_t max)
{
	uint64_t value;
	if (str_to_u64(str_from_c(text), max, &value) < 0 || value == 0)
		bench_die("not a number here", str_from_c(text));
	return value;
}

static _Noreturn void usage(FILE *to, int status)
{
	fprintf(to, "usage: floor --imap PORT --pop3 PORT --lmtp PORT [--imaps PORT --certificate FILE --key FILE]\n"
	            "             [--messages N] [--rooms N] FOLDER\n\n"
	            "Answers the load generator at the lowest cost that the machine allows, until it is killed; see\n"
	            "bench/compare. FOLDER is for its files: --messages N (1000) generated ones, about 42 KB each, and\n"
	            "what it takes. --rooms N: by the processes of Mansio, N shards, and the messages between them.\n\n"
	            "Example: floor --imap 1143 --pop3 1110 --lmtp 1124 /tmp/floor\n");
	exit(status);
}

static void read_options(int argc, char **argv, struct options *out)
{
	enum { HELP = PROTOCOLS + 1, MESSAGES, ROOMS, IMAPS, CERTIFICATE, KEY };
	static const struct option longs[] = {
		{ "imap", 1, 0, IMAP },         { "pop3", 1, 0, POP3 },   { "lmtp", 1, 0, LMTP },
		{ "imaps", 1, 0, IMAPS },       { "key", 1, 0, KEY },     { "certificate", 1, 0, CERTIFICATE },
		{ "messages", 1, 0, MESSAGES }, { "rooms", 1, 0, ROOMS }, { "help", 0, 0, HELP },
		{ 0, 0, 0, 0 },
	};
	struct house *house = &out->house;
	for (int option; (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (option) {
		case IMAP:
		case POP3:
		case LMTP: house->ports[option] = (uint16_t)number_option(optarg, UINT16_MAX); break;
		case IMAPS: house->imaps = (uint16_t)number_option(optarg, UINT16_MAX); break;
		case CERTIFICATE: out->certificate = optarg; break;
		case KEY: out->key = optarg; break;
		case MESSAGES: out->messages = number_option(optarg, MESSAGES_MAX); break;
		case ROOMS: house->shards = number_option(optarg, SHARDS_MAX); break;
		case HELP: usage(stdout, 0);
		default: usage(stderr, 2);
		}
	}
	if (optind + 1 != argc || !house->ports[IMAP] || !house->ports[POP3] || !house->ports[LMTP])
		usage(stderr, 2);
	if (house->imaps && (!out->certificate || !out->key))
		usage(stderr, 2);
	house->folder = argv[optind];
}

/* As Mansio has it: the same ciphers, one ticket. */
static struct tls_context *read_certificate(const struct options *options)
{
	struct tls_context *tls;
	struct buf certificate = BUF_INIT(PEM_MAX), key = BUF_INIT(PEM_MAX);
	tls_use_memory();
	if (file_read(AT_FDCWD, options->certificate, 0, &certificate) < 0 ||
	    file_read(AT_FDCWD, options->key, 0, &key) < 0 ||
	    tls_context_new(buf_str(&certificate), buf_str(&key), TLS1_2_VERSION, &tls) < 0)
		bench_die("cannot use the certificate", str_from_c(options->certificate));
	buf_free(&certificate);
	buf_free(&key);
	return tls;
}

static int end_turn(void)
{
	batch_commit();
	return -1;
}

static _Noreturn void run_alone(const struct house *house)
{
	loop_begin();
	logs_open(house->folder, "");
	answers_begin(&floor_part);
	for (enum protocol protocol = IMAP; protocol < PROTOCOLS; protocol++)
		answers_listen(protocol, house->ports[protocol], NULL);
	if (house->tls)
		answers_listen(IMAP, house->imaps, house->tls);
	loop_run(end_turn);
}

int main(int argc, char **argv)
{
	struct options options = { .messages = 1000 };
	read_options(argc, argv, &options);
	signal(SIGPIPE, SIG_IGN); /* sendfile, or OpenSSL, to a client that is gone */
	if (options.house.imaps)
		options.house.tls = read_certificate(&options);
	mailbox_make(options.house.folder, options.messages);
	if (options.house.shards > 0)
		house_run(&options.house);
	run_alone(&options.house);
}
