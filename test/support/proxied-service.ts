import { startDatabaseProxy, type DatabaseProxy } from './database-proxy.js';
import { startService, type Running, type Service } from './service.js';

/** A service with a second API whose connections to PostgreSQL can be cut. */
export interface ProxiedService {
  service: Service;
  proxy: DatabaseProxy;
  /** The API behind the proxy. */
  api: Running;
  stop: () => Promise<void>;
}

export async function startProxiedService(): Promise<ProxiedService> {
  const service = await startService();
  const proxy = await startDatabaseProxy(service.databaseUrl);
  const api = await service.startApi({ DATABASE_URL: proxy.url });
  return {
    service,
    proxy,
    api,
    async stop() {
      await api.stop();
      await proxy.stop();
      await service.stop();
    },
  };
}
