/* settings.h: the one list of all settings. conf.h makes struct conf of it, conf.c the table that reads, checks and
 * prints them; the same sentences stand in mansio.toml(5) (a test compares). To add a setting, add one line here and
 * one item there.
 *
 *     X(type, when, section, name, default, min, max, sentence)
 *
 * when      LIVE: a changed value takes effect at a reload (mansio reload, SIGHUP), at the latest for what begins after
 *           it; RESTART: with the next start of the server. What a role has made tables of, or keeps a slice of, needs
 *           a RESTART: a LIVE setting is read from struct conf, or copied from it in the role's reload(); NEW_STORE:
 *           never, but for a store that is made then
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
	X(HOSTNAME, RESTART, server, hostname, "\"\"", 0, 253,                                                         \
	  "Name of this host in greetings and trace headers. Empty: the full name that the system has.")               \
	X(PATH, RESTART, server, directory, "\"/var/lib/mansio\"", 1, CONF_PATH_MAX,                                   \
	  "Folder that holds the store, the directory of accounts and the run folder.")                                \
	X(STRING, RESTART, server, user, "\"mansio\"", 1, 32,                                                          \
	  "System user of the processes that own mail and accounts (shard, auth, authwork).")                          \
	X(INTEGER, RESTART, server, user_id, "59025", 1, 4294967294,                                                   \
	  "Numeric user and group id taken when the system has no such user.")                                         \
	X(STRING, RESTART, server, network_user, "\"mansio-net\"", 1, 32,                                              \
	  "System user of the processes that talk to strangers (access, smtp).")                                       \
	X(INTEGER, RESTART, server, network_user_id, "59026", 1, 4294967294,                                           \
	  "Numeric user and group id taken when the system has no such user.")                                         \
	X(PATH, RESTART, server, control_socket, "\"\"", 0, CONF_SOCKET_PATH_MAX,                                      \
	  "Unix socket of the command line. Empty: run/control.sock in server.directory.")                             \
	X(LOG_LEVEL, LIVE, server, log_level, "\"info\"", 0, 0,                                                        \
	  "Log lines below this level are not written.")                                                               \
	X(INTEGER, NEW_STORE, server, shards, "0", 0, 256,                                                               \
	  "Shards of a new store. Looked at only when the store is made; 0: one for each processor core.")             \
	X(INTEGER, RESTART, server, access_processes, "1", 1, 64, "Processes that greet IMAP and POP3 clients.")       \
	X(INTEGER, RESTART, server, smtp_processes, "1", 1, 64, "Processes that receive mail by SMTP and LMTP.")       \
	X(INTEGER, RESTART, server, authwork_processes, "1", 1, 64, "Processes that hash passwords.")                  \
	X(BOOL, RESTART, server, sandbox, "true", 0, 0,                                                                \
	  "Confine each process with seccomp and Landlock. MANSIO_SANDBOX=off in the environment overrides it.")       \
	X(DURATION, LIVE, server, restart_delay_min, "\"10ms\"", 1, CONF_MINUTE,                                       \
	  "Wait before a process that ended is started again; doubled each time it ends soon after its start.")        \
	X(DURATION, LIVE, server, restart_delay_max, "\"30s\"", 1, CONF_HOUR, "The longest such wait.")                \
	X(DURATION, LIVE, server, stop_timeout, "\"10s\"", 100, 10 * CONF_MINUTE,                                      \
	  "Time that the processes have to end at a stop before they are killed.")                                     \
	X(DURATION, LIVE, server, slow_turn, "\"10ms\"", 1, CONF_MINUTE,                                               \
	  "A process that served nobody else for this long, or longer, logs what it did (event slow-turn).")

#define CONF_LISTEN(X)                                                                                                 \
	X(ADDRESSES, RESTART, listen, imap, "[\"*:143\"]", 0, CONF_LISTEN_MAX, "IMAP with STARTTLS.")                  \
	X(ADDRESSES, RESTART, listen, imaps, "[\"*:993\"]", 0, CONF_LISTEN_MAX,                                        \
	  "IMAP over TLS. Needs tls.certificate.")                                                                     \
	X(ADDRESSES, RESTART, listen, pop3, "[\"*:110\"]", 0, CONF_LISTEN_MAX, "POP3 with STLS.")                      \
	X(ADDRESSES, RESTART, listen, pop3s, "[\"*:995\"]", 0, CONF_LISTEN_MAX,                                        \
	  "POP3 over TLS. Needs tls.certificate.")                                                                     \
	X(ADDRESSES, RESTART, listen, smtp, "[\"*:25\"]", 0, CONF_LISTEN_MAX, "SMTP from other servers.")              \
	X(ADDRESSES, RESTART, listen, submission, "[\"*:587\"]", 0, CONF_LISTEN_MAX,                                   \
	  "SMTP from users, with login and STARTTLS. "                                                                 \
	  "Needs tls.certificate, or a login.allow_plain_without_tls that is not \"never\".")                          \
	X(ADDRESSES, RESTART, listen, submissions, "[\"*:465\"]", 0, CONF_LISTEN_MAX,                                  \
	  "SMTP from users, with login, over TLS. Needs tls.certificate.")                                             \
	X(ADDRESSES, RESTART, listen, lmtp, "[]", 0, CONF_LISTEN_MAX,                                                  \
	  "LMTP over TCP. There is no login in LMTP: only addresses that trusted programs alone can reach.")           \
	X(PATH, RESTART, listen, lmtp_socket, "\"\"", 0, CONF_SOCKET_PATH_MAX,                                         \
	  "LMTP on a unix socket. Empty: none. A socket that another program holds is not taken: the start fails.")    \
	X(INTEGER, RESTART, listen, backlog, "511", 1, 65535,                                                          \
	  "Connections that the kernel keeps waiting for each address.")

#define CONF_TLS(X)                                                                                                    \
	X(PATH, LIVE, tls, certificate, "\"\"", 0, CONF_PATH_MAX,                                                      \
	  "PEM file of the certificate and its chain. Empty: no TLS at all.")                                          \
	X(PATH, LIVE, tls, key, "\"\"", 0, CONF_PATH_MAX, "PEM file of the private key.")                              \
	X(TLS_VERSION, LIVE, tls, minimum_version, "\"1.2\"", 0, 0, "The oldest version of TLS that is spoken.")       \
	X(DURATION, LIVE, tls, handshake_timeout, "\"30s\"", CONF_SECOND, 10 * CONF_MINUTE,                            \
	  "Time that a client has for the TLS handshake.")

#define CONF_LOGIN(X)                                                                                                  \
	X(PLAIN_LOGIN, LIVE, login, allow_plain_without_tls, "\"never\"", 0, 0,                                        \
	  "Whether passwords may cross a connection that is not encrypted.")                                           \
	X(DURATION, LIVE, login, timeout, "\"60s\"", CONF_SECOND, CONF_HOUR,                                           \
	  "A connection without a login is closed after this time.")                                                   \
	X(DURATION, LIVE, login, failure_delay, "\"2s\"", 0, CONF_MINUTE,                                              \
	  "Wait before a failed login is answered. "                                                                   \
	  "After some failures of one address or account, the pause until its next password is looked at; "            \
	  "it doubles with each.")                                                                                     \
	X(DURATION, LIVE, login, failure_delay_max, "\"15s\"", 0, 10 * CONF_MINUTE,                                    \
	  "The longest such pause. That of an account is 5 seconds at most.")                                          \
	X(INTEGER, RESTART, login, throttle_entries, "16384", 1024, 4194304,                                           \
	  "Addresses and accounts with failed logins that are remembered.")                                            \
	X(INTEGER, LIVE, login, max_failures, "3", 1, 1000, "Failed logins after which a connection is closed.")       \
	X(INTEGER, LIVE, login, max_bad_commands, "5", 1, 1000,                                                        \
	  "Bad commands before login after which a connection is closed.")                                             \
	X(SIZE, LIVE, login, max_line, "\"32KB\"", 1024, CONF_MB, "The longest command line before login.")            \
	X(INTEGER, RESTART, login, max_connections, "10000", 1, 1000000,                                               \
	  "IMAP and POP3 connections of each access process, logged in or not.")                                       \
	X(INTEGER, LIVE, login, max_connections_per_address, "50", 1, 1000000,                                         \
	  "IMAP and POP3 connections from one address (IPv6: one /64) to each access process.")                        \
	X(DURATION, LIVE, login, auth_cache_lifetime, "\"60s\"", 0, CONF_HOUR,                                         \
	  "A right password is remembered in memory (as a keyed hash) for this time; 0: never. "                       \
	  "A changed password or a removed account is forgotten at once.")                                             \
	X(INTEGER, RESTART, login, auth_cache_entries, "10000", 1, 1000000, "Logins that are remembered at most.")     \
	X(SIZE, LIVE, login, password_memory, "\"19MB\"", 8 * CONF_KB, CONF_GB,                                        \
	  "Memory of one Argon2id password hash. Stored hashes keep what they were made with.")                        \
	X(INTEGER, LIVE, login, password_iterations, "2", 1, 100, "Passes of one Argon2id password hash.")             \
	X(INTEGER, LIVE, login, password_queue, "256", 1, 100000,                                                      \
	  "Logins that may wait for their turn, and as many that may wait for their password to be hashed; "           \
	  "more are asked to try again later.")                                                                        \
	X(INTEGER, LIVE, login, password_queue_per_address, "32", 1, 100000,                                           \
	  "The same for one address (IPv6: one /64).")

#define CONF_IMAP(X)                                                                                                   \
	X(DURATION, LIVE, imap, idle_timeout, "\"30m\"", CONF_SECOND, CONF_DAY,                                        \
	  "A session without a command, IDLE too, is closed after this time. RFC 3501 asks for 30 minutes at least.")  \
	X(DURATION, LIVE, imap, write_timeout, "\"5m\"", CONF_SECOND, CONF_HOUR,                                       \
	  "A session whose client reads nothing of what waits for it is closed after this time.")                      \
	X(SIZE, RESTART, imap, max_line, "\"64KB\"", 8 * CONF_KB, 16 * CONF_MB,                                        \
	  "The longest command, without the message of an APPEND.")                                                    \
	X(SIZE, LIVE, imap, max_message_size, "\"50MB\"", 64 * CONF_KB, 2 * CONF_GB,                                   \
	  "The largest message of an APPEND.")                                                                         \
	X(INTEGER, LIVE, imap, max_bad_commands, "20", 1, 1000,                                                        \
	  "Bad commands in a row after which a session is closed.")                                                    \
	X(INTEGER, LIVE, imap, max_sessions_per_account, "100", 1, 100000, "IMAP and POP3 sessions of one account.")   \
	X(INTEGER, LIVE, imap, max_mailboxes, "10000", 10, 1000000, "Mailboxes of one account.")                       \
	X(INTEGER, LIVE, imap, max_mailbox_depth, "20", 1, 32, "Levels of a mailbox name.")                            \
	X(SIZE, LIVE, imap, max_mailbox_name, "\"1000B\"", 64, 1000,                                                   \
	  "The longest mailbox name, all levels together.")                                                            \
	X(INTEGER, LIVE, imap, max_keywords, "128", 16, 256,                                                           \
	  "Keywords that were ever used in one mailbox: one that no message has any more still counts, as "            \
	  "long as the mailbox is there. Messages that are copied or moved into one that has as many lose those "      \
	  "that are new there.")                                                                                       \
	X(SIZE, LIVE, imap, max_keyword_length, "\"100B\"", 16, 1000, "The longest keyword.")                          \
	X(SIZE, RESTART, imap, output_pause, "\"64KB\"", 4 * CONF_KB, 16 * CONF_MB,                                    \
	  "A command pauses when this much of its answer waits in memory, or 16 times as much in files.")              \
	X(SIZE, RESTART, imap, output_max, "\"4MB\"", 256 * CONF_KB, CONF_GB,                                          \
	  "A session that has more than this waiting in memory is closed. A FETCH of a message that needs more is refused.")

#define CONF_POP3(X)                                                                                                   \
	X(DURATION, LIVE, pop3, timeout, "\"10m\"", CONF_SECOND, CONF_DAY,                                             \
	  "A session without a command is closed after this time. RFC 1939 asks for 10 minutes at least.")             \
	X(DURATION, LIVE, pop3, write_timeout, "\"5m\"", CONF_SECOND, CONF_HOUR,                                       \
	  "A session whose client reads nothing of what waits for it is closed after this time.")                      \
	X(SIZE, LIVE, pop3, max_line, "\"512B\"", 255, 64 * CONF_KB, "The longest command line after login.")          \
	X(INTEGER, LIVE, pop3, max_bad_commands, "20", 1, 1000, "Bad commands after which a session is closed.")       \
	X(DURATION, RESTART, pop3, login_delay, "0", 0, CONF_DAY,                                                      \
	  "An account that comes again by POP3 within this time of its last login is told to come later; 0: no limit.") \
	X(BOOL, LIVE, pop3, one_session, "false", 0, 0,                                                                \
	  "Refuse a POP3 login while another POP3 session of the account is open. If not, sessions go on side by "     \
	  "side: each sees the messages, numbers, sizes and unique ids of its login until its end, and what others "   \
	  "have removed can be retrieved for as long as it can be undeleted. What two have deleted is deleted once.")  \
	X(POP3_MODE, LIVE, pop3, mode, "\"client\"", 0, 0,                                                              \
	  "What becomes of messages that POP3 clients fetch, unless something else is said for a domain, an account "  \
	  "or an app password (mansio account pop3). \"client\": what a client deletes is deleted. "                   \
	  "\"delete\": what it retrieves as well. "                                                                    \
	  "\"keep\": what it deletes is hidden from this login and stays for all others. "                             \
	  "\"days\": the same, and the server deletes what was retrieved or hidden after pop3.days.")                  \
	X(INTEGER, LIVE, pop3, days, "30", 1, 3650, "Days that mode \"days\" keeps mail after it was retrieved.")       \
	X(POP3_DELETED, LIVE, pop3, deleted, "\"gone\"", 0, 0,                                                         \
	  "Where mail goes that was deleted by way of POP3. \"gone\": it can be undeleted for a while. "               \
	  "\"trash\": to the mailbox Trash, which is made when there is none.")                                        \
	X(BOOL, LIVE, pop3, seen, "false", 0, 0, "Whether mail that was retrieved by POP3 counts as read for IMAP.")   \
	X(STRING, LIVE, pop3, mailbox, "\"INBOX\"", 1, 255, "The mailbox that POP3 shows.")                            \
	X(BOOL, RESTART, pop3, utf8, "false", 0, 0,                                                                    \
	  "Offer UTF8 of RFC 6856. A client that does not use it is then refused messages with a header, their own or " \
	  "that of a part, that is not ASCII.")                                                                         \
	X(SIZE, RESTART, pop3, output_max, "\"4MB\"", 256 * CONF_KB, CONF_GB,                                          \
	  "A session that has more than this waiting in memory is closed.")

#define CONF_SMTP(X)                                                                                                   \
	X(SIZE, LIVE, smtp, max_message_size, "\"50MB\"", 64 * CONF_KB, 2 * CONF_GB,                                   \
	  "The largest message by SMTP or LMTP.")                                                                      \
	X(INTEGER, RESTART, smtp, max_recipients, "1000", 100, 10000, "Recipients of one message.")                    \
	X(INTEGER, LIVE, smtp, max_refused_recipients, "100", 1, 100000,                                               \
	  "Refused recipients of one connection after which it is closed.")                                            \
	X(INTEGER, LIVE, smtp, max_transactions, "1000", 1, 1000000, "Messages of one connection.")                    \
	X(INTEGER, LIVE, smtp, max_bad_commands, "10", 1, 1000, "Bad commands after which a connection is closed.")    \
	X(SIZE, RESTART, smtp, max_line, "\"4KB\"", 512, 64 * CONF_KB, "The longest command line.")                    \
	X(INTEGER, LIVE, smtp, max_received_headers, "100", 10, 1000,                                                  \
	  "Received headers of a message beyond which it is refused as going in circles.")                             \
	X(DURATION, LIVE, smtp, command_timeout, "\"5m\"", CONF_SECOND, CONF_HOUR,                                     \
	  "A connection from which no whole command comes is closed after this time.")                                 \
	X(DURATION, LIVE, smtp, data_timeout, "\"3m\"", CONF_SECOND, CONF_HOUR,                                        \
	  "A connection that sends nothing of its message is closed after this time.")                                 \
	X(DURATION, LIVE, smtp, message_timeout, "\"1h\"", CONF_SECOND, CONF_DAY,                                      \
	  "A connection that sends no message is closed after this time, whatever else it says. Not one by LMTP or "   \
	  "of a user who has logged in.")                                                                              \
	X(DURATION, LIVE, smtp, write_timeout, "\"5m\"", CONF_SECOND, CONF_HOUR,                                       \
	  "A connection that reads no replies is closed after this time.")                                             \
	X(INTEGER, RESTART, smtp, max_connections, "1000", 1, 1000000,                                                 \
	  "SMTP and LMTP connections of each smtp process. An eighth of them is for LMTP alone and an eighth for "     \
	  "LMTP and submission, so that strangers at port 25 shut out nobody else.")                                   \
	X(INTEGER, LIVE, smtp, max_connections_per_address, "50", 1, 1000000,                                          \
	  "SMTP connections from one address (IPv6: one /64) to each smtp process.")                                   \
	X(STRING, RESTART, smtp, recipient_delimiter, "\"+\"", 0, 1,                                                   \
	  "Separates the detail in user+detail. Where there is no such address, mail goes to what stands before the last "     \
	  "delimiter, and so on: a name may have the delimiter, the longest one counts. Empty: no details.")

#define CONF_MIME(X)                                                                                                   \
	X(INTEGER, RESTART, mime, max_depth, "50", 2, 200,                                                             \
	  "Levels of parts within parts. What is deeper is kept as it came, but not taken apart.")                     \
	X(INTEGER, RESTART, mime, max_parts, "1000", 10, 65535,                                                        \
	  "Parts of a message that are told apart, of a small one at most 20 and one for each 32 bytes. The rest is "  \
	  "kept as it came, and so is all of a message whose BODYSTRUCTURE would be larger than 1 MB.")                \
	X(INTEGER, RESTART, mime, max_header_fields, "1000", 50, 65535, "Fields of one header that are looked at.")    \
	X(SIZE, RESTART, mime, max_header_size, "\"256KB\"", 4 * CONF_KB, 16 * CONF_MB,                                \
	  "Bytes of one header that are looked at.")                                                                   \
	X(SIZE, RESTART, mime, max_header_total, "\"1MB\"", 16 * CONF_KB, 64 * CONF_MB,                                \
	  "Bytes of all headers of a message and its parts that are looked at.")                                       \
	X(INTEGER, RESTART, mime, max_parameters, "64", 8, 1000, "Parameters of one field that are looked at.")        \
	X(INTEGER, RESTART, mime, max_addresses, "5000", 100, 65535,                                                   \
	  "Addresses of one field that an ENVELOPE has. All those of a message together take at most 1 KB there and "  \
	  "four times its size, and never more than 512 KB.")

#define CONF_STORE(X)                                                                                                  \
	X(SIZE, LIVE, store, view_memory, "\"256MB\"", CONF_MB, 1024 * CONF_GB,                                        \
	  "Memory of each shard for the entries of open mailboxes. More is dropped and read again.")                   \
	X(SIZE, RESTART, store, database_cache, "\"64MB\"", CONF_MB, 1024 * CONF_GB,                                   \
	  "Page cache of each shard's database.")                                                                      \
	X(SIZE, RESTART, store, segment_size, "\"256MB\"", CONF_MB, 64 * CONF_GB,                                      \
	  "A file of message bodies is closed, and a new one begun, at this size.")                                    \
	X(SIZE, RESTART, store, reserve_free_space, "\"64MB\"", CONF_MB, 1024 * CONF_GB,                               \
	  "Free space on the disk below which mail is refused for the time being and nothing is written.")             \
	X(SIZE, LIVE, store, large_message, "\"256KB\"", 16 * CONF_KB, 16 * CONF_MB,                                   \
	  "A message larger than this is gathered in an unnamed file, not in memory.")                                 \
	X(SIZE, RESTART, store, wal_checkpoint_size, "\"5MB\"", 256 * CONF_KB, CONF_GB,                                \
	  "The write-ahead log of a database is folded back into it at this size.")                                    \
	X(DURATION, LIVE, store, undelete_window, "\"7d\"", 0, 3650 * CONF_DAY,                                        \
	  "Expunged messages can be brought back for this time.")                                                      \
	X(SIZE, LIVE, store, compaction_rate, "\"20MB\"", 64 * CONF_KB, 64 * CONF_GB,                                  \
	  "What each shard copies in a second at most, over time, in the background, to give the space of removed mail " \
	  "back.")                                                                                                     \
	X(DURATION, LIVE, store, change_log_retention, "\"30d\"", CONF_HOUR, 3650 * CONF_DAY,                          \
	  "Clients that were away for less than this time learn what changed without reading everything anew.")        \
	X(DURATION, LIVE, store, delivery_key_lifetime, "\"5d\"", CONF_HOUR, 90 * CONF_DAY,                            \
	  "A delivery that is tried again within this time, its answer having been lost, is not stored twice.")

#define CONF_QUOTA(X)                                                                                                  \
	X(SIZE, LIVE, quota, bytes, "0", 0, 1024 * 1024 * CONF_GB,                                                     \
	  "What the mail of an account may take together; 0: no limit. "                                               \
	  "A message counts in each mailbox that it was copied to, expunged mail does not. "                           \
	  "A message that would end above the limit is refused. mansio account quota sets it for one account.")        \
	X(INTEGER, LIVE, quota, messages, "0", 0, 1000000000, "How many messages an account may have; 0: no limit.")   \
	X(FULL_ANSWER, LIVE, quota, full_answer, "\"permanent\"", 0, 0,                                                \
	  "What senders are told when an account is full. "                                                            \
	  "\"permanent\": 552 5.2.2, so that they return the message at once. "                                        \
	  "\"temporary\": 452 4.2.2, so that they try again for as long as their queue lasts.")

#define CONF_LIMITS(X)                                                                                                 \
	X(INTEGER, RESTART, limits, max_alias_targets, "100", 1, 1000,                                                 \
	  "Accounts that one address may expand to. With the aliases on the way they are 2000 at most.")               \
	X(INTEGER, RESTART, limits, max_alias_depth, "10", 1, 100, "Aliases that may lead to aliases.")

#define CONF_METRICS(X)                                                                                                \
	X(ADDRESSES, RESTART, metrics, listen, "[]", 0, CONF_LISTEN_MAX,                                               \
	  "Where Prometheus can fetch all counters by HTTP (/metrics). "                                               \
	  "Addresses of this machine alone, 127.0.0.1 or [::1]: nobody is asked for a password.")

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
	S(limits, CONF_LIMITS)                                                                                         \
	S(metrics, CONF_METRICS)

#endif
