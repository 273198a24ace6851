/* What thunderbird.py has Thunderbird do, run in its main process: operations by name, each a function that gives back
 * plain values. What a user does at the window goes through the window's own commands. */
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const modules = "resource:///modules/accountcreation/";

/* The first true result of condition(); the bound is far beyond what anything takes. */
async function eventually(what, condition) {
	const end = Date.now() + 90000;
	for (;;) {
		const result = await condition();
		if (result) {
			return result;
		}
		if (Date.now() > end) {
			throw new Error("waited in vain: " + what);
		}
		await new Promise((resolve) => window.setTimeout(resolve, 20));
	}
}

function checkStatus(what, status) {
	if (!Components.isSuccessCode(status)) {
		throw new Error(`${what}: 0x${status.toString(16)}`);
	}
}

/* Starts a request of Thunderbird's to a server and waits for its end. */
async function request(what, start) {
	const status = await new Promise((resolve) => {
		start({
			QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
			OnStartRunningUrl() {},
			OnStopRunningUrl: (url, result) => resolve(result),
		});
	});
	checkStatus(what, status);
}

const serverOf = (key) => MailServices.accounts.getIncomingServer(key);

/* The path of a folder: as the IMAP server knows it, or its names. */
function pathOf(folder) {
	if (folder instanceof Ci.nsIMsgImapMailFolder) {
		return folder.onlineName;
	}
	return folder.parent.isServer ? folder.name : pathOf(folder.parent) + "/" + folder.name;
}

function findFolder(key, path) {
	return serverOf(key).rootFolder.descendants.find((one) => pathOf(one).toLowerCase() == path.toLowerCase());
}

function folderOf(key, path) {
	const folder = findFolder(key, path);
	if (!folder) {
		throw new Error("no folder " + path);
	}
	return folder;
}

function headerOf(folder, subject) {
	return eventually(`a message ${subject} in ${folder.URI}`, () =>
		[...folder.messages].find((one) => one.mime2DecodedSubject == subject));
}

/* The folder and message lists of the main window. */
async function threePane() {
	const tabs = document.getElementById("tabmail");
	return eventually("the main window", () => tabs?.currentAbout3Pane?.commandController && tabs.currentAbout3Pane);
}

/* Shows a folder and selects messages by their subjects; one alone is displayed. */
async function select(key, path, subjects) {
	const pane = await threePane();
	const folder = folderOf(key, path);
	await eventually("the folder's row", () => {
		pane.displayFolder(folder.URI);
		return pane.gFolder == folder && pane.gDBView;
	});
	const headers = await Promise.all(subjects.map((one) => headerOf(folder, one)));
	const rows = await eventually("the messages in the list", () => {
		const found = headers.map((one) => pane.gDBView.findIndexOfMsgHdr(one, true));
		return found.every((row) => row < pane.gDBView.rowCount) && found;
	});
	pane.threadTree.selectedIndices = rows;
	await eventually("the selection", () => pane.gDBView.numSelected == rows.length);
	if (subjects.length == 1) {
		const viewer = pane.messageBrowser.contentWindow;
		await eventually("the message", () => viewer.msgLoaded && viewer.gMessage == headers[0]);
	}
	return pane;
}

async function newWindow(type, open) {
	const before = new Set(Services.wm.getEnumerator(type));
	await open();
	return eventually("a window " + type, () =>
		[...Services.wm.getEnumerator(type)].find((one) => !before.has(one) && one.document.readyState == "complete"));
}

const operations = {
	/* What "Confirm Security Exception" does with a certificate that no authority signed. */
	async trust(host, port, certificate) {
		const certificates = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
		const overrides = Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService);
		overrides.rememberValidityOverride(host, port, {}, certificates.constructX509FromBase64(certificate), false);
	},

	/* The account set-up with "Configure manually": asks the servers what they can do, logs in once, and makes the
	 * account. `settings` are the incoming server's, true or false: defaults until they are its own, since its connections
	 * start while it is made. Gives its server's key, and how it logs in to both. */
	async setUp({ address, password, incoming, outgoing, settings }) {
		const { AccountConfig } = ChromeUtils.importESModule(modules + "AccountConfig.sys.mjs");
		const { GuessConfig } = ChromeUtils.importESModule(modules + "GuessConfig.sys.mjs");
		const { ConfigVerifier } = ChromeUtils.importESModule(modules + "ConfigVerifier.sys.mjs");
		const { CreateInBackend } = ChromeUtils.importESModule(modules + "CreateInBackend.sys.mjs");
		const config = new AccountConfig();
		Object.assign(config.incoming, { username: "%EMAILADDRESS%", loginAtStartup: false }, incoming);
		Object.assign(config.outgoing, { username: "%EMAILADDRESS%", type: "smtp" }, outgoing);
		const [, domain] = address.split("@");
		const found = await GuessConfig.guessConfig(domain, () => {}, config, outgoing ? "both" : "incoming",
			new AbortController().signal);
		AccountConfig.replaceVariables(found, "A User", address, password);
		found.incoming.password = found.outgoing.password = password;
		const verified = await new ConfigVerifier(top.msgWindow, new AbortController().signal).verifyConfig(found, false);
		verified.outgoing.addThisServer = !!outgoing;
		verified.outgoing.useGlobalPreferredServer = !outgoing;
		const defaultOf = (name) => "mail.server.default." + name;
		const names = Object.keys(settings);
		names.forEach((name) => Services.prefs.setBoolPref(defaultOf(name), settings[name]));
		const account = await CreateInBackend.createAccountInBackend(verified);
		names.forEach((name) => Services.prefs.clearUserPref(defaultOf(name))); // first: what is the default is not kept
		names.forEach((name) => account.incomingServer.setBoolValue(name, settings[name]));
		/* what comes unasked must come by IDLE, not by a timer */
		account.incomingServer.doBiff = false;
		return { key: account.incomingServer.key, incoming: verified.incoming.auth, outgoing: verified.outgoing.auth };
	},

	/* Settings of an account's server: {name: true or number}. */
	async configure(key, settings) {
		for (const [name, value] of Object.entries(settings)) {
			if (typeof value == "boolean") {
				serverOf(key).setBoolValue(name, value);
			} else {
				serverOf(key).setIntValue(name, value);
			}
		}
	},

	/* "Get Messages" of an IMAP folder. Its end is not told: a folder that is busy anyway forgets who asked. */
	async askForMessages(key, path) {
		if (!findFolder(key, path)) {
			await request("LIST", (listener) => {
				MailServices.imap.discoverAllFolders(serverOf(key).rootFolder, listener, top.msgWindow);
			});
		}
		folderOf(key, path).updateFolder(top.msgWindow);
	},

	/* "Get Messages" of a POP3 server, to the end of its session. */
	async fetchMessages(key) {
		const server = serverOf(key);
		const inbox = server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
		await request("POP3", (listener) => MailServices.pop3.GetNewMail(top.msgWindow, listener, inbox, server));
	},

	/* The folders as Thunderbird knows them now. */
	async folders(key) {
		return serverOf(key).rootFolder.descendants.map(pathOf);
	},

	/* The messages of a folder as Thunderbird knows them now, without asking the server. */
	async messages(key, path) {
		return [...folderOf(key, path).messages].map((one) => ({
			subject: one.mime2DecodedSubject,
			author: one.mime2DecodedAuthor,
			read: one.isRead,
			flagged: one.isFlagged,
			replied: !!(one.flags & Ci.nsMsgMessageFlags.Replied),
			deleted: !!(one.flags & Ci.nsMsgMessageFlags.IMAPDeleted),
		}));
	},

	/* Opens a message in the message pane: its header and body as displayed. */
	async open(key, path, subject) {
		const pane = await select(key, path, [subject]);
		const viewer = pane.messageBrowser.contentWindow;
		const body = await eventually("the message's body", () => viewer.getMessagePaneBrowser().contentDocument?.body);
		return { from: viewer.document.getElementById("expandedfromBox").textContent, body: body.textContent };
	},

	/* The bytes of a message, a character each. */
	async source(key, path, subject) {
		const folder = folderOf(key, path);
		const uri = folder.getUriForMsg(await headerOf(folder, subject));
		const input = Cc["@mozilla.org/scriptableinputstream;1"].createInstance(Ci.nsIScriptableInputStream);
		let bytes = "";
		const status = await new Promise((resolve) => {
			MailServices.messageServiceFromURI(uri).streamMessage(uri, {
				QueryInterface: ChromeUtils.generateQI(["nsIStreamListener", "nsIRequestObserver"]),
				onStartRequest() {},
				onDataAvailable(channel, stream, offset, count) {
					input.init(stream);
					bytes += input.readBytes(count);
				},
				onStopRequest: (channel, result) => resolve(result),
			}, null, null, false, "");
		});
		checkStatus("reading " + subject, status);
		return bytes;
	},

	/* A command of the message list, for example cmd_markAsFlagged, on messages. */
	async command(key, path, subjects, name) {
		const pane = await select(key, path, subjects);
		pane.commandController.doCommand(name);
	},

	/* A command that takes messages out of their folder: cmd_moveMessage to another one, or one that deletes. */
	async takeOut(key, path, subjects, name, target) {
		const pane = await select(key, path, subjects);
		const source = folderOf(key, path);
		/* until it is done the list follows it with a selection of its own and takes no other such command */
		const done = new Promise((resolve) => {
			const listener = {
				QueryInterface: ChromeUtils.generateQI(["nsIFolderListener"]),
				onFolderEvent(folder, event) {
					if (folder == source && event.startsWith("DeleteOrMoveMsg")) {
						MailServices.mailSession.RemoveFolderListener(listener);
						resolve(event);
					}
				},
			};
			MailServices.mailSession.AddFolderListener(listener, Ci.nsIFolderListener.event);
		});
		pane.commandController.doCommand(name, ...(target ? [folderOf(key, target)] : []));
		const event = await done;
		if (event != "DeleteOrMoveMsgCompleted") {
			throw new Error(`${name}: ${event}`);
		}
	},

	/* "Reply" in its own window: text above the quotation, and "Send". */
	async reply(key, path, subject, text) {
		const pane = await select(key, path, [subject]);
		const compose = await newWindow("msgcompose", () => pane.commandController.doCommand("cmd_replySender"));
		const command = "cmd_sendNow";
		const controller = () => compose.document.commandDispatcher.getControllerForCommand(command);
		await eventually("the quotation", () => compose.GetCurrentEditor?.()?.documentElement?.ownerDocument ??
			compose.GetCurrentEditor?.()?.document?.body?.textContent.includes(">"));
		await eventually("the recipient", () => controller()?.isCommandEnabled(command));
		const editor = compose.GetCurrentEditor();
		editor.beginningOfDocument();
		editor.insertText(text);
		compose.goDoCommand(command);
		await eventually("sending", () => compose.closed);
	},

	async createFolder(key, name) {
		serverOf(key).rootFolder.createSubfolder(name, top.msgWindow);
		await eventually("the folder " + name, () => findFolder(key, name));
	},

	/* "Edit, Find, Search Messages" with "Run search on server": the subjects that have all of the terms
	 * [[attribute, operator, value]]. */
	async search(key, path, terms) {
		const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
		session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, folderOf(key, path));
		for (const [attribute, operator, text] of terms) {
			const term = session.createTerm();
			term.attrib = Ci.nsMsgSearchAttrib[attribute];
			term.op = Ci.nsMsgSearchOp[operator];
			term.booleanAnd = true;
			const value = term.value;
			value.attrib = term.attrib;
			value.str = text;
			term.value = value;
			session.appendTerm(term);
		}
		const hits = [];
		const status = await new Promise((resolve) => {
			session.registerListener({
				QueryInterface: ChromeUtils.generateQI(["nsIMsgSearchNotify"]),
				onNewSearch() {},
				onSearchHit: (header) => hits.push(header.mime2DecodedSubject),
				onSearchDone: resolve,
			}, Ci.nsIMsgSearchSession.allNotifications);
			session.search(top.msgWindow);
		});
		checkStatus("searching", status);
		return hits;
	},

	/* Ends an account's connections. It stays: another one in its folder would find what this one leaves behind. */
	async leave(key) {
		serverOf(key).closeCachedConnections();
	},

	/* Where Thunderbird keeps what it has of an account. */
	async localFolder(key) {
		return serverOf(key).localPath.path;
	},
};
