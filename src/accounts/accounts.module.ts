import { Module } from '@nestjs/common';
import { Accounts } from './accounts.js';
import { RateLimits } from './rate-limits.js';

@Module({ providers: [Accounts, RateLimits], exports: [Accounts, RateLimits] })
export class AccountsModule {}
