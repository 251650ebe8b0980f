/** An endpoint that answers in this time, in ms, is worth waiting for: its next lane is free at once. */
const QUICK_MS = 250;

export interface Lane {
  leave(): void;
}

/** The lanes of one endpoint, while any is taken. */
interface Road {
  taken: number;
  quick: boolean;
  /** Who waits for a lane, first come first. */
  waiting: Set<() => void>;
}

/**
 * How many requests one endpoint may have open in this process. One that is slow fills its own lanes; what comes for it
 * after that is put off, each time for longer, and the slots go to the others. One that is quick has its lanes full
 * only in a rush, and what comes then waits in its slot: to put it off would cost more than to deliver it.
 */
export class Lanes {
  private readonly roads = new Map<string, Road>();

  /** @param width as many as this; fewer than the slots for deliveries, or one endpoint could take them all. */
  constructor(private readonly width: number) {}

  /** @returns undefined if all lanes are taken and the endpoint is slow. */
  async enter(endpointId: string): Promise<Lane | undefined> {
    const road = this.roads.get(endpointId) ?? { taken: 0, quick: true, waiting: new Set() };
    this.roads.set(endpointId, road);
    if (road.taken < this.width) road.taken += 1;
    else if (!road.quick || !(await takeOver(road))) return undefined;
    const since = performance.now();
    return {
      leave: () => {
        road.quick = performance.now() - since <= QUICK_MS;
        this.leave(endpointId, road);
      },
    };
  }

  private leave(endpointId: string, road: Road): void {
    const [next] = road.waiting;
    if (next) return next(); // the lane stays taken
    road.taken -= 1;
    if (road.taken === 0) this.roads.delete(endpointId);
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
