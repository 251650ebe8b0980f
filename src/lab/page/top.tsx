export const ROOMS = ['story', 'gallery', 'storm', 'own client', 'goals'] as const;
export type Room = (typeof ROOMS)[number];

export interface TopProps {
  room: Room;
  onRoom: (room: Room) => void;
  onHelp: () => void;
}

export function Top({ room, onRoom, onHelp }: TopProps) {
  return (
    <header class="top">
      <b>charge-once</b> <span class="quiet">the lab</span>
      <nav aria-label="Rooms">
        {ROOMS.map((name) => (
          <button
            type="button"
            key={name}
            aria-pressed={room === name}
            onClick={() => onRoom(name)}
          >
            {name}
          </button>
        ))}
        <button type="button" class="plain" onClick={onHelp} aria-label="List of keys">
          ?
        </button>
      </nav>
    </header>
  );
}
