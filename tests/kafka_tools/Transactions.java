// SPDX-License-Identifier: Apache-2.0
// A transactional producer that commits one record, leaves the next transaction open, and tries to commit it when it is told
// to: java -cp JARS Transactions.java HOST:PORT
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.serialization.StringSerializer;

public class Transactions {
    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("transactional.id", "teller");
        settings.put("transaction.timeout.ms", "600000");
        try (KafkaProducer<String, String> producer =
                new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>("bank", 0, null, "committed")).get();
            producer.commitTransaction();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>("bank", 0, null, "open")).get();
            System.out.println("open");
            System.in.read();
            try {
                producer.commitTransaction();
                System.out.println("committed");
            } catch (KafkaException refused) {
                System.out.println("fenced");
            }
            System.out.flush();
            Runtime.getRuntime().halt(0);
        }
    }
}
