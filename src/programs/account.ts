import { text } from 'node:stream/consumers';
import { runAccountCommand, USAGE } from '../accounts/account.commands.js';
import { runCommand } from './run-command.js';

// `npm run account -- …`: manages accounts and API keys. Proof: test/white-box/operation/account-command.spec.ts.
await runCommand(USAGE, (db, args) => runAccountCommand(db, args, () => text(process.stdin)));
