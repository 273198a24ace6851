/* settings.h: the one list of all settings. conf.h makes struct conf of it, conf.c the table that reads, checks and
 * prints them; the same sentences stand in mansio.toml(5) (a test compares). To add a setting, add one line here and
 * one item there.
 *
 *     X(type, section, name, default, min, max, sentence)
 *
 * default   as it would be written in mansio.toml
 * min, max  bounds of an integer; bytes of a size; milliseconds of a duration; bytes of a string, path or host name;
 *           number of items of a list; 0, 0 where the type has none (BOOL and the closed choices) */
#ifndef CONF_SETTINGS_H
#define CONF_SETTINGS_H

#define CONF_KB UINT64_C(1024)
#define CONF_MB (1024 * CONF_KB)
#define CONF_GB (1024 * CONF_MB)
#define CONF_SECOND UINT64_C(1000)
#define CONF_MINUTE (60 * CONF_SECOND)
#define CONF_HOUR (60 * CONF_MINUTE)
#define CONF_DAY (24 * CONF_HOUR)

#define CONF_LISTEN_MAX 16        /* addresses of one protocol */
#define CONF_SOCKET_PATH_MAX 107  /* sun_path of unix(7), without its NUL */
#define CONF_PATH_MAX 4095        /* PATH_MAX, without its NUL */

#define CONF_SERVER(X)                                                                                                 \
	X(HOSTNAME, server, hostname, "\"\"", 0, 253,                                                                  \
	  "Name of this host in greetings and trace headers. Empty: the full name that the system has.")               \
	X(PATH, server, directory, "\"/var/lib/mansio\"", 1, CONF_PATH_MAX,                                            \
	  "Folder that holds the store, the directory of accounts and the run folder.")                                \
	X(STRING, server, user, "\"mansio\"", 1, 32,                                                                   \
	  "System user of the processes that own mail and accounts (shard, auth, authwork).")                          \
	X(INTEGER, server, user_id, "59025", 1, 4294967294,                                                            \
	  "Numeric user and group id taken when the system has no such user.")                                         \
	X(STRING, server, network_user, "\"mansio-net\"", 1, 32,                                                       \
	  "System user of the processes that talk to strangers (access, smtp).")                                       \
	X(INTEGER, server, network_user_id, "59026", 1, 4294967294,                                                    \
	  "Numeric user and group id taken when the system has no such user.")                                         \
	X(PATH, server, control_socket, "\"\"", 0, CONF_SOCKET_PATH_MAX,                                               \
	  "Unix socket of the command line. Empty: run/control.sock in server.directory.")                             \
	X(LOG_LEVEL, server, log_level, "\"info\"", 0, 0,                                                              \
	  "Log lines below this level are not written.")                                                               \
	X(INTEGER, server, shards, "0", 0, 256,                                                                        \
	  "Shards of a new store. Looked at only when the store is made; 0: one for each processor core.")             \
	X(INTEGER, server, access_processes, "1", 1, 64, "Processes that greet IMAP and POP3 clients.")                \
	X(INTEGER, server, smtp_processes, "1", 1, 64, "Processes that receive mail by SMTP and LMTP.")                \
	X(INTEGER, server, authwork_processes, "1", 1, 64, "Processes that hash passwords.")                           \
	X(BOOL, server, sandbox, "true", 0, 0,                                                                         \
	  "Confine each process with seccomp and Landlock. MANSIO_SANDBOX=off in the environment overrides it.")       \
	X(DURATION, server, restart_delay_min, "\"10ms\"", 1, CONF_MINUTE,                                             \
	  "Wait before a process that ended is started again; doubled each time it ends soon after its start.")        \
	X(DURATION, server, restart_delay_max, "\"30s\"", 1, CONF_HOUR, "The longest such wait.")                      \
	X(DURATION, server, stop_timeout, "\"10s\"", 100, 10 * CONF_MINUTE,                                            \
	  "Time that the processes have to end at a stop before they are killed.")                                     \
	X(DURATION, server, slow_turn, "\"10ms\"", 1, CONF_MINUTE,                                                     \
	  "A process that served nobody else for this long, or longer, logs what it did (event slow-turn).")

#define CONF_LISTEN(X)                                                                                                 \
	X(ADDRESSES, listen, imap, "[\"*:143\"]", 0, CONF_LISTEN_MAX, "IMAP with STARTTLS.")                           \
	X(ADDRESSES, listen, imaps, "[\"*:993\"]", 0, CONF_LISTEN_MAX, "IMAP over TLS. Needs tls.certificate.")        \
	X(ADDRESSES, listen, pop3, "[\"*:110\"]", 0, CONF_LISTEN_MAX, "POP3 with STLS.")                               \
	X(ADDRESSES, listen, pop3s, "[\"*:995\"]", 0, CONF_LISTEN_MAX, "POP3 over TLS. Needs tls.certificate.")        \
	X(ADDRESSES, listen, smtp, "[\"*:25\"]", 0, CONF_LISTEN_MAX, "SMTP from other servers.")                       \
	X(ADDRESSES, listen, lmtp, "[]", 0, CONF_LISTEN_MAX,                                                           \
	  "LMTP over TCP. There is no login in LMTP: only addresses that trusted programs alone can reach.")           \
	X(PATH, listen, lmtp_socket, "\"\"", 0, CONF_SOCKET_PATH_MAX, "LMTP on a unix socket. Empty: none.")           \
	X(INTEGER, listen, backlog, "511", 1, 65535, "Connections that the kernel keeps waiting for each address.")

#define CONF_TLS(X)                                                                                                    \
	X(PATH, tls, certificate, "\"\"", 0, CONF_PATH_MAX,                                                            \
	  "PEM file of the certificate and its chain. Empty: no TLS at all.")                                          \
	X(PATH, tls, key, "\"\"", 0, CONF_PATH_MAX, "PEM file of the private key.")                                    \
	X(TLS_VERSION, tls, minimum_version, "\"1.2\"", 0, 0, "The oldest version of TLS that is spoken.")             \
	X(DURATION, tls, handshake_timeout, "\"30s\"", CONF_SECOND, 10 * CONF_MINUTE,                                  \
	  "Time that a client has for the TLS handshake.")

#define CONF_LOGIN(X)                                                                                                  \
	X(PLAIN_LOGIN, login, allow_plain_without_tls, "\"never\"", 0, 0,                                              \
	  "Whether passwords may cross a connection that is not encrypted.")                                           \
	X(DURATION, login, timeout, "\"60s\"", CONF_SECOND, CONF_HOUR,                                                 \
	  "A connection without a login is closed after this time.")                                                   \
	X(DURATION, login, failure_delay, "\"2s\"", 0, CONF_MINUTE,                                                    \
	  "Wait before a failed login is answered. "                                                                   \
	  "After some failures of one address or account it doubles with each.")                                       \
	X(DURATION, login, failure_delay_max, "\"15s\"", 0, 10 * CONF_MINUTE, "The longest such wait.")                \
	X(INTEGER, login, throttle_entries, "16384", 1024, 4194304,                                                    \
	  "Addresses and accounts with failed logins that are remembered.")                                            \
	X(INTEGER, login, max_failures, "3", 1, 1000, "Failed logins after which a connection is closed.")             \
	X(INTEGER, login, max_bad_commands, "5", 1, 1000,                                                              \
	  "Bad commands before login after which a connection is closed.")                                             \
	X(SIZE, login, max_line, "\"32KB\"", 1024, CONF_MB, "The longest command line before login.")                   \
	X(INTEGER, login, max_connections, "10000", 1, 1000000,                                                        \
	  "IMAP and POP3 connections of each access process, logged in or not.")                                       \
	X(INTEGER, login, max_connections_per_address, "50", 1, 1000000,                                               \
	  "IMAP and POP3 connections from one address (IPv6: one /64) to each access process.")                        \
	X(DURATION, login, auth_cache_lifetime, "\"60s\"", 0, CONF_HOUR,                                               \
	  "A right password is remembered in memory (as a keyed hash) for this time; 0: never. "                       \
	  "A changed password or a removed account is forgotten at once.")                                             \
	X(INTEGER, login, auth_cache_entries, "10000", 1, 1000000, "Logins that are remembered at most.")              \
	X(SIZE, login, password_memory, "\"19MB\"", 8 * CONF_KB, CONF_GB,                                              \
	  "Memory of one Argon2id password hash. Stored hashes keep what they were made with.")                        \
	X(INTEGER, login, password_iterations, "2", 1, 100, "Passes of one Argon2id password hash.")                   \
	X(INTEGER, login, password_queue, "256", 1, 100000,                                                            \
	  "Logins that may wait for their password to be hashed; more are asked to try again later.")                  \
	X(INTEGER, login, password_queue_per_address, "32", 1, 100000, "The same for one address (IPv6: one /64).")

#define CONF_IMAP(X)                                                                                                   \
	X(DURATION, imap, idle_timeout, "\"30m\"", CONF_SECOND, CONF_DAY,                                              \
	  "A session without a command, IDLE too, is closed after this time. RFC 3501 asks for 30 minutes at least.")  \
	X(DURATION, imap, write_timeout, "\"5m\"", CONF_SECOND, CONF_HOUR,                                             \
	  "A session whose client reads nothing of what waits for it is closed after this time.")                      \
	X(SIZE, imap, max_line, "\"64KB\"", 8 * CONF_KB, 16 * CONF_MB,                                                 \
	  "The longest command, without the message of an APPEND.")                                                    \
	X(SIZE, imap, max_message_size, "\"50MB\"", 64 * CONF_KB, 2 * CONF_GB, "The largest message of an APPEND.")    \
	X(INTEGER, imap, max_bad_commands, "20", 1, 1000, "Bad commands in a row after which a session is closed.")    \
	X(INTEGER, imap, max_sessions_per_account, "100", 1, 100000, "IMAP and POP3 sessions of one account.")         \
	X(INTEGER, imap, max_mailboxes, "10000", 10, 1000000, "Mailboxes of one account.")                             \
	X(INTEGER, imap, max_mailbox_depth, "20", 1, 100, "Levels of a mailbox name.")                                 \
	X(SIZE, imap, max_mailbox_name, "\"1KB\"", 64, 4 * CONF_KB, "The longest mailbox name, all levels together.")  \
	X(INTEGER, imap, max_keywords, "128", 16, 256, "Keywords of one mailbox.")                                     \
	X(SIZE, imap, max_keyword_length, "\"100B\"", 16, 1000, "The longest keyword.")                                \
	X(SIZE, imap, output_pause, "\"64KB\"", 4 * CONF_KB, 16 * CONF_MB,                                             \
	  "A command pauses when this much of its answer waits in memory, or 16 times as much in files.")              \
	X(SIZE, imap, output_max, "\"4MB\"", 256 * CONF_KB, CONF_GB,                                                   \
	  "A session that has more than this waiting in memory is closed.")

#define CONF_POP3(X)                                                                                                   \
	X(DURATION, pop3, timeout, "\"10m\"", CONF_SECOND, CONF_DAY,                                                   \
	  "A session without a command is closed after this time. RFC 1939 asks for 10 minutes at least.")             \
	X(DURATION, pop3, write_timeout, "\"5m\"", CONF_SECOND, CONF_HOUR,                                             \
	  "A session whose client reads nothing of what waits for it is closed after this time.")                      \
	X(SIZE, pop3, max_line, "\"512B\"", 255, 64 * CONF_KB, "The longest command line after login.")                \
	X(INTEGER, pop3, max_bad_commands, "20", 1, 1000, "Bad commands after which a session is closed.")             \
	X(DURATION, pop3, login_delay, "0", 0, CONF_DAY,                                                               \
	  "An account that comes again by POP3 within this time of its last login is told to come later; 0: no limit.") \
	X(BOOL, pop3, one_session, "false", 0, 0,                                                                      \
	  "Refuse a POP3 login while another POP3 session of the account is open.")                                    \
	X(BOOL, pop3, utf8, "false", 0, 0,                                                                             \
	  "Offer UTF8 of RFC 6856. A client that does not use it is then refused messages whose header is not ASCII.")   \
	X(SIZE, pop3, output_max, "\"4MB\"", 256 * CONF_KB, CONF_GB,                                                   \
	  "A session that has more than this waiting in memory is closed.")

#define CONF_SMTP(X)                                                                                                   \
	X(SIZE, smtp, max_message_size, "\"50MB\"", 64 * CONF_KB, 2 * CONF_GB, "The largest message by SMTP or LMTP.") \
	X(INTEGER, smtp, max_recipients, "1000", 100, 100000, "Recipients of one message.")                            \
	X(INTEGER, smtp, max_refused_recipients, "100", 1, 100000,                                                     \
	  "Refused recipients of one connection after which it is closed.")                                            \
	X(INTEGER, smtp, max_transactions, "1000", 1, 1000000, "Messages of one connection.")                          \
	X(INTEGER, smtp, max_bad_commands, "10", 1, 1000, "Bad commands after which a connection is closed.")          \
	X(SIZE, smtp, max_line, "\"4KB\"", 512, 64 * CONF_KB, "The longest command line.")                             \
	X(INTEGER, smtp, max_received_headers, "100", 10, 1000,                                                        \
	  "Received headers of a message beyond which it is refused as going in circles.")                             \
	X(DURATION, smtp, command_timeout, "\"5m\"", CONF_SECOND, CONF_HOUR,                                           \
	  "A connection without a command is closed after this time.")                                                 \
	X(DURATION, smtp, data_timeout, "\"3m\"", CONF_SECOND, CONF_HOUR,                                              \
	  "A connection that sends nothing of its message is closed after this time.")                                 \
	X(DURATION, smtp, write_timeout, "\"5m\"", CONF_SECOND, CONF_HOUR,                                             \
	  "A connection that reads no replies is closed after this time.")                                             \
	X(INTEGER, smtp, max_connections, "1000", 1, 1000000, "SMTP and LMTP connections of each smtp process.")       \
	X(INTEGER, smtp, max_connections_per_address, "50", 1, 1000000,                                                \
	  "SMTP connections from one address (IPv6: one /64) to each smtp process.")                                   \
	X(STRING, smtp, recipient_delimiter, "\"+\"", 0, 1,                                                            \
	  "Separates the detail in user+detail, which is ignored when the account is looked up. Empty: no details.")

#define CONF_MIME(X)                                                                                                   \
	X(INTEGER, mime, max_depth, "50", 2, 200,                                                                      \
	  "Levels of parts within parts. What is deeper is kept as it came, but not taken apart.")                     \
	X(INTEGER, mime, max_parts, "1000", 10, 65535,                                                                 \
	  "Parts of a message that are told apart. The rest is kept as it came.")                                      \
	X(INTEGER, mime, max_header_fields, "1000", 50, 65535, "Fields of one header that are looked at.")             \
	X(SIZE, mime, max_header_size, "\"256KB\"", 4 * CONF_KB, 16 * CONF_MB,                                         \
	  "Bytes of one header that are looked at.")                                                                   \
	X(SIZE, mime, max_header_total, "\"1MB\"", 16 * CONF_KB, 64 * CONF_MB,                                         \
	  "Bytes of all headers of a message and its parts that are looked at.")                                       \
	X(INTEGER, mime, max_parameters, "64", 8, 1000, "Parameters of one field that are looked at.")                 \
	X(INTEGER, mime, max_addresses, "5000", 100, 65535, "Addresses of one field that an ENVELOPE has.")

#define CONF_STORE(X)                                                                                                  \
	X(SIZE, store, view_memory, "\"256MB\"", CONF_MB, 1024 * CONF_GB,                                              \
	  "Memory of each shard for the entries of open mailboxes. More is dropped and read again.")                   \
	X(SIZE, store, database_cache, "\"64MB\"", CONF_MB, 1024 * CONF_GB, "Page cache of each shard's database.")    \
	X(SIZE, store, segment_size, "\"256MB\"", CONF_MB, 64 * CONF_GB,                                               \
	  "A file of message bodies is closed, and a new one begun, at this size.")                                    \
	X(SIZE, store, reserve_free_space, "\"64MB\"", CONF_MB, 1024 * CONF_GB,                                        \
	  "Free space on the disk below which mail is refused for the time being and nothing is written.")             \
	X(SIZE, store, large_message, "\"256KB\"", 16 * CONF_KB, 16 * CONF_MB,                                         \
	  "A message larger than this is gathered in an unnamed file, not in memory.")                                 \
	X(SIZE, store, wal_checkpoint_size, "\"4MB\"", 256 * CONF_KB, CONF_GB,                                         \
	  "The write-ahead log of a database is folded back into it at this size.")                                    \
	X(DURATION, store, undelete_window, "\"7d\"", 0, 3650 * CONF_DAY,                                              \
	  "Expunged messages can be brought back for this time.")                                                      \
	X(SIZE, store, compaction_rate, "\"20MB\"", 64 * CONF_KB, 64 * CONF_GB,                                         \
	  "What each shard copies in a second at most, in the background, to give the space of removed mail back.")    \
	X(DURATION, store, change_log_retention, "\"30d\"", CONF_HOUR, 3650 * CONF_DAY,                                \
	  "Clients that were away for less than this time learn what changed without reading everything anew.")        \
	X(DURATION, store, delivery_key_lifetime, "\"5d\"", CONF_HOUR, 90 * CONF_DAY,                                  \
	  "A delivery that is tried again within this time, its answer having been lost, is not stored twice.")

#define CONF_QUOTA(X)                                                                                                  \
	X(SIZE, quota, bytes, "0", 0, 1024 * 1024 * CONF_GB,                                                           \
	  "What the mail of an account may take together; 0: no limit. "                                               \
	  "A message counts in each mailbox that it was copied to, expunged mail does not. "                           \
	  "A message that would end above the limit is refused. mansio account quota sets it for one account.")        \
	X(INTEGER, quota, messages, "0", 0, 1000000000, "How many messages an account may have; 0: no limit.")         \
	X(FULL_ANSWER, quota, full_answer, "\"permanent\"", 0, 0,                                                      \
	  "What senders are told when an account is full. "                                                            \
	  "\"permanent\": 552 5.2.2, so that they return the message at once. "                                        \
	  "\"temporary\": 452 4.2.2, so that they try again for as long as their queue lasts.")

#define CONF_LIMITS(X)                                                                                                 \
	X(INTEGER, limits, max_alias_targets, "100", 1, 10000, "Accounts that one address may expand to.")             \
	X(INTEGER, limits, max_alias_depth, "10", 1, 100, "Aliases that may lead to aliases.")

/* All sections: S(section, list of its settings). */
#define CONF_SECTIONS(S)                                                                                               \
	S(server, CONF_SERVER)                                                                                         \
	S(listen, CONF_LISTEN)                                                                                         \
	S(tls, CONF_TLS)                                                                                               \
	S(login, CONF_LOGIN)                                                                                           \
	S(imap, CONF_IMAP)                                                                                             \
	S(pop3, CONF_POP3)                                                                                             \
	S(smtp, CONF_SMTP)                                                                                             \
	S(mime, CONF_MIME)                                                                                             \
	S(store, CONF_STORE)                                                                                           \
	S(quota, CONF_QUOTA)                                                                                           \
	S(limits, CONF_LIMITS)

#endif
