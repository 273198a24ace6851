/* fuzz_backup_manifest.c: manifests of backups. The checksum that begins one is put before the input, which would not
 * get past it otherwise. What is read is printed and read again, to the same text. */
#include "proc/ctl/backup.h"

#include "db/bodylog.h"

#include <stdlib.h>

static int parse(struct str members, struct backup_manifest **out)
{
	struct buf text = BUF_INIT(BACKUP_MANIFEST_MAX);
	struct body_sum *sum = body_sum_new();
	char digits[17];
	body_sum_add(sum, members);
	print_sum(body_sum_end(&sum), digits);
	buf_addf(&text, "{\"sum\":\"%s\",", digits);
	buf_add(&text, members);
	int result = manifest_parse(buf_str(&text), out);
	buf_free(&text);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = str_of((const char *)data, size);
	struct backup_manifest *manifest, *again;
	if (manifest_parse(input, &manifest) == 0)
		manifest_free(&manifest);
	if (parse(input, &manifest) < 0)
		return 0;
	struct buf first = BUF_INIT(BACKUP_MANIFEST_MAX), second = BUF_INIT(BACKUP_MANIFEST_MAX);
	manifest_print(manifest, &first);
	if (manifest_parse(buf_str(&first), &again) < 0)
		abort();
	manifest_print(again, &second);
	if (!str_eq(buf_str(&first), buf_str(&second)))
		abort();
	(void)manifest_bytes(manifest);
	(void)manifest_file(manifest, "store");
	(void)manifest_segment(manifest, 0, 1);
	manifest_free(&manifest);
	manifest_free(&again);
	buf_free(&first);
	buf_free(&second);
	return 0;
}
