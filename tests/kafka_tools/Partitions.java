// SPDX-License-Identifier: Apache-2.0
// Reads lines "partition key" and says where the Java client would put the key, if that is elsewhere.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;

public class Partitions {
    public static void main(String[] arguments) throws Exception {
        int partitions = Integer.parseInt(arguments[0]);
        int lines = 0;
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] parts = line.split(" ", 2);
            int found = Integer.parseInt(parts[0]);
            byte[] key = parts[1].getBytes(StandardCharsets.UTF_8);
            int expected = BuiltInPartitioner.partitionForKey(key, partitions);
            if (found != expected) {
                System.out.println("key " + parts[1] + " is in " + found + " instead of " + expected);
                System.exit(1);
            }
            lines++;
        }
        System.out.println(lines + " keys");
    }
}
