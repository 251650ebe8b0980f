import { connect, type Socket } from 'node:net';

/** A client's connection and its continuation to the server. */
export interface SocketPair {
  client: Socket;
  upstream: Socket;
  /** Ends both immediately. */
  cut: () => void;
}

/** Connects a client to its server. If one side ends with an error, so does the other. @param open all open sockets */
export function pairWith(
  client: Socket,
  target: { host: string; port: number },
  open: Set<Socket>,
): SocketPair {
  const upstream = connect({ ...target, noDelay: true });
  const cut = () => {
    client.destroy();
    upstream.destroy();
  };
  for (const socket of [client, upstream]) {
    open.add(socket);
    socket.on('error', cut).on('close', () => {
      open.delete(socket);
      cut();
    });
  }
  return { client, upstream, cut };
}
