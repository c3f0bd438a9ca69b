"""Which part an id is in: by this alone, without the program. Writes partition-1.txt."""
import hmac

def key(agreement_id, epoch, kind):
    fields = [b"incamera-match-partition/1", agreement_id, epoch.to_bytes(4, "big"), kind.encode()]
    return b"".join(bytes([len(field)]) + field for field in fields)

def part(key, of, text):
    first = int.from_bytes(hmac.digest(key, text.encode(), "sha256")[:8], "big")
    return first * of >> 64

if __name__ == "__main__":
    k = key(bytes([1]) * 32, 1, "email")
    print("# agreement id 01 32 times, epoch 1, kind email: part, id")
    for of in (2, 10, 256, 4096):
        for name in ("ana", "bo", "cy"):
            text = f"{name}@mail.example"
            print(f"{part(k, of, text)}/{of} {text}")
