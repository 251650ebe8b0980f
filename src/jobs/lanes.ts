/** A server whose work is done in this time, in ms, is worth waiting for: its next lane is free at once. */
const QUICK_MS = 250;
/** What a slow one has of the lanes of a quick one, so that it takes many to fill all slots. */
const SLOW_SHARE = 1 / 5;

export interface Lane {
  leave(): void;
}

/** The lanes to one server, while any is taken. */
interface Road {
  taken: number;
  quick: boolean;
  /** Who waits for a lane, first come first. */
  waiting: Set<() => void>;
}

/**
 * How many jobs may wait for one server of strangers in this process: a webhook's receiver, the mail server, the
 * processor. One that is slow fills its own lanes; what comes for it after that is put off, each time for longer, and
 * the slots go to the others. One that is quick has its lanes full only in a rush, and what comes then waits in its
 * slot: to put it off would cost more than to do it.
 */
export class Lanes {
  private readonly roads = new Map<string, Road>();

  /** @param width as many as this; fewer than there are slots, or one server could take them all. */
  constructor(private readonly width: number) {}

  /** @returns undefined if all lanes are taken and the server is slow. */
  async enter(server: string): Promise<Lane | undefined> {
    const road = this.roads.get(server) ?? { taken: 0, quick: true, waiting: new Set() };
    this.roads.set(server, road);
    const width = road.quick ? this.width : Math.ceil(this.width * SLOW_SHARE);
    if (road.taken < width) road.taken += 1;
    else if (!road.quick || !(await takeOver(road))) return undefined;
    const since = performance.now();
    return {
      leave: () => {
        road.quick = performance.now() - since <= QUICK_MS;
        this.leave(server, road);
      },
    };
  }

  private leave(server: string, road: Road): void {
    const [next] = road.waiting;
    if (next) return next(); // the lane stays taken
    road.taken -= 1;
    if (road.taken === 0) this.roads.delete(server);
  }

  /** How long to wait, in ms, when there was no lane for the n-th time: half a second, doubled up to four minutes. */
  static pauseMs(times: number, random = Math.random()): number {
    return 250 * 2 ** Math.min(times, 10) * (0.5 + random);
  }
}

/** @returns whether somebody left a lane in time. */
function takeOver(road: Road): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (taken: boolean) => {
      clearTimeout(patience);
      road.waiting.delete(take);
      resolve(taken);
    };
    const take = () => end(true);
    const patience = setTimeout(() => {
      road.quick = false;
      end(false);
    }, QUICK_MS);
    road.waiting.add(take);
  });
}
