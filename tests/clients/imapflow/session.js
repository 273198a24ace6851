// One session with imapflow, as a web mailer would hold it. Standard input: {host, port, secure, qresync, user,
// password, ca, message}; MODULES: where imapflow is. Standard output: what it saw, as JSON. The checks are in
// test_imapflow.py.
'use strict';

const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');

const { ImapFlow } = createRequire(path.join(process.env.MODULES, 'x.js'))('imapflow');
const order = JSON.parse(fs.readFileSync(0, 'utf8'));

function client() {
    return new ImapFlow({
        host: order.host, port: order.port, secure: order.secure, doSTARTTLS: !order.secure,
        auth: { user: order.user, pass: order.password }, tls: { ca: fs.readFileSync(order.ca) }, logger: false,
        clientInfo: { name: 'mansio-test' }, qresync: order.qresync,
    });
}

async function whole(stream) {
    const chunks = [];
    for await (const chunk of stream) {
        chunks.push(chunk);
    }
    return Buffer.concat(chunks);
}

function event(flow, name, matches) {
    return new Promise(resolve => {
        const listener = data => {
            if (matches(data)) {
                flow.off(name, listener);
                resolve(data);
            }
        };
        flow.on(name, listener);
    });
}

async function main() {
    const seen = {};
    const flow = client();
    await flow.connect();
    seen.server = flow.serverInfo;
    seen.folders = (await flow.list()).map(one => [one.path, one.specialUse || '', one.subscribed]);

    let lock = await flow.getMailboxLock('INBOX');
    seen.exists = flow.mailbox.exists;
    seen.first = [];
    for await (const one of flow.fetch('1:*', { uid: true, flags: true, envelope: true, bodyStructure: true, size: true,
                                                internalDate: true, source: true, headers: ['subject'] })) {
        seen.first.push({
            uid: one.uid, flags: [...one.flags].sort(), size: one.size,
            subject: one.envelope.subject, from: one.envelope.from[0].address,
            type: one.bodyStructure.type, parts: (one.bodyStructure.childNodes || []).map(part => part.type),
            source: one.source.toString('base64'),
        });
    }
    const text = await flow.download('1', '1');
    seen.text = { type: text.meta.contentType, content: (await whole(text.content)).toString('utf8') };
    const attachment = await flow.download('1', '3');
    seen.attachment = { name: attachment.meta.filename, content: (await whole(attachment.content)).toString('hex') };

    seen.found = {
        subject: await flow.search({ subject: 'second' }, { uid: true }),
        unseen: await flow.search({ seen: false }, { uid: true }),
        text: await flow.search({ body: 'first line' }, { uid: true }),
        either: await flow.search({ or: [{ subject: 'second' }, { subject: 'third' }] }, { uid: true }),
    };
    const before = flow.mailbox.highestModseq;
    await flow.messageFlagsAdd({ subject: 'second' }, ['\\Flagged', '$Later']);
    await flow.messageFlagsSet({ subject: 'third' }, ['\\Seen']);
    seen.changed = [];
    for await (const one of flow.fetch('1:*', { uid: true, flags: true }, { changedSince: before })) {
        seen.changed.push([one.uid, [...one.flags].filter(flag => flag !== '\\Recent').sort()]);
    }
    seen.moved = Object.fromEntries((await flow.messageMove({ subject: 'third' }, 'Archive')).uidMap);
    seen.copied = Object.fromEntries((await flow.messageCopy({ subject: 'second' }, 'Archive')).uidMap);
    await flow.messageDelete({ subject: 'fourth' });
    // imapflow does not count down for VANISHED, so the server is asked
    seen.left = (await flow.status('INBOX', { messages: true })).messages;

    await flow.mailboxCreate(['Projects', 'Grüße']);
    await flow.mailboxRename(['Projects', 'Grüße'], ['Projects', 'Été']);
    const appended = await flow.append('Projects/Été', Buffer.from(order.message, 'base64'), ['\\Seen', '$Own'],
                                       new Date('2001-02-03T04:05:06Z'));
    seen.appended = appended.uid;
    seen.status = await flow.status('Projects/Été', { messages: true, unseen: true, uidNext: true });

    // another session's changes, told to this one while it idles
    const other = client();
    await other.connect();
    const come = event(flow, 'exists', () => true);
    const idling = flow.idle();
    await other.append('INBOX', Buffer.from(order.message, 'base64'));
    seen.told = { exists: (await come).count };
    const otherLock = await other.getMailboxLock('INBOX');
    const flagged = event(flow, 'flags', data => data.flags.has('\\Answered'));
    await other.messageFlagsAdd('*', ['\\Answered']);
    seen.told.flags = (await flagged).seq;
    const gone = event(flow, 'expunge', () => true);
    await other.messageDelete('*');
    const expunged = await gone;
    seen.told.expunged = expunged.vanished ? { uid: expunged.uid } : { seq: expunged.seq };
    otherLock.release();
    await other.logout();
    await flow.noop();  // ends the idling
    await idling;
    lock.release();

    await flow.mailboxDelete('Junk');
    lock = await flow.getMailboxLock('Projects/Été', { readOnly: true });
    const one = await flow.fetchOne(appended.uid, { source: true, flags: true, internalDate: true }, { uid: true });
    seen.fetched = { source: one.source.toString('base64'), flags: [...one.flags].sort(), date: one.internalDate };
    lock.release();
    await flow.logout();
    process.stdout.write(JSON.stringify(seen));
}

main().catch(problem => {
    console.error(problem);
    process.exit(1);
});
